"""Whether a runtime works on this board, and what decides whether one can be installed.

A program of its own, `python -m modnas_agent.board.runtime_facts QUESTIONS`, which `agent install` runs
before it brings anything large. QUESTIONS is a JSON object with

backend    the runtime's name
folder     where it would be installed
libraries  system libraries that it needs
flags      features of the CPU that are asked for, as /proc/cpuinfo calls them
packages   whose versions are asked for

It prints one JSON object, see `facts`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import mmap
import os
import platform
import signal
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Mapping, Sequence

from modnas_agent.board.conditions import PROC
from modnas_agent.errors import one_line
from modnas_agent.files import read_text

#: Importing a runtime from a slow disk may take a minute.
IMPORT_S = 110


def facts(asked: Mapping[str, Any], proc_root: Path = PROC) -> dict[str, Any]:
    """Answers to the questions above, JSON-able.

    Returns:
        `machine`, `libc`, `bits`: of the kernel, of this Python's C library, and of this Python itself.
        `runtime`, `reason`, `signal`: the runtime's version, or why it cannot be imported, and the signal
        that ended the try, if one did. `versions`: of the packages that are there. `missing`: libraries that
        cannot be loaded. `lacking`: CPU features that are not there. `noexec`: the mount point of the
        folder's file system when no code can be loaded from it. `pip`, `venv`, `termux`: whether there is
        such a thing.
    """
    return {
        "machine": platform.machine(),
        "libc": platform.libc_ver(),
        "bits": struct.calcsize("P") * 8,
        **_imported(asked["backend"]),
        "versions": _versions(asked["packages"]),
        "missing": [name for name in asked["libraries"] if not _loads(name)],
        "lacking": lacking(asked["flags"], proc_root),
        "noexec": None if _may_run_code(asked["folder"]) else _mount_point(asked["folder"]),
        "pip": importlib.util.find_spec("pip") is not None,
        "venv": importlib.util.find_spec("ensurepip") is not None,
        "termux": "com.termux" in (os.environ.get("PREFIX") or sys.prefix),
    }


def lacking(flags: Sequence[str], proc_root: Path = PROC) -> list[str]:
    """Those of the features that not every core has; none where the kernel does not say."""
    lines = (line.partition(":") for line in (read_text(proc_root / "cpuinfo") or "").splitlines())
    told = [set(value.split()) for name, _, value in lines if name.strip() in ("Features", "flags")]
    return [flag for flag in flags if any(flag not in cpu for cpu in told)]


def _imported(backend: str) -> dict[str, Any]:
    """`runtime`, `reason` and `signal`, from a process of its own: what the CPU does not have ends it."""
    nothing = {"runtime": None, "reason": None, "signal": None}
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            try:
                _import(backend, answer.fileno(), said.fileno())
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        told, last = _read(answer), _read(said).strip().splitlines()[-1:]
    if told and os.WIFEXITED(status):
        return {**nothing, **json.loads(told)}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return {**nothing, "reason": f"importing it took more than {IMPORT_S} s"}
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        why = ", an instruction that this CPU does not have" if name == "SIGILL" else ""
        return {**nothing, "signal": name, "reason": f"importing it ended with {name}{why}"}
    return {**nothing, "reason": one_line("".join(last) or f"exit code {os.WEXITSTATUS(status)}")}


def _import(backend: str, answer: int, said: int) -> None:
    """Write the answer for a runtime, and what it says besides, to these files; the process ends then."""
    os.dup2(said, 1)
    os.dup2(said, 2)
    signal.alarm(IMPORT_S)
    try:
        from modnas_agent.backends import load_backend

        importlib.import_module("numpy")
        found = {"runtime": load_backend(backend).version()}
    except Exception as error:
        found = {"reason": one_line(f"{type(error).__name__}: {error}")}
    os.write(answer, json.dumps(found).encode())


def _read(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _versions(packages: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _may_run_code(folder: str) -> bool:
    """Whether a file there can be mapped as code, which is how a library is loaded."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * mmap.PAGESIZE)
            file.flush()
            return _can_be_code(file.fileno())
    except OSError:  # whoever installs there will be told why
        return True


def _can_be_code(file: int) -> bool:
    try:
        mmap.mmap(file, mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
    except PermissionError:
        return False
    return True


def _mount_point(folder: str) -> str:
    path = Path(folder).resolve()
    while not path.is_mount():
        path = path.parent
    return str(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the questions in the first argument."""
    print(json.dumps(facts(json.loads((sys.argv[1:] if arguments is None else arguments)[0]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
