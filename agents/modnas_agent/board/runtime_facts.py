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
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Mapping, Sequence

from modnas_agent.board.conditions import PROC
from modnas_agent.errors import one_line
from modnas_agent.files import read_text

#: Importing a runtime from a slow disk may take a minute.
IMPORT_S = 110.0
#: Runs in a process of its own: an instruction that the CPU does not have ends it.
_IMPORT = """
import json, sys
try:
    import numpy
    from modnas_agent.backends import load_backend
    found = {"runtime": load_backend(sys.argv[1]).version()}
except Exception as error:
    found = {"reason": type(error).__name__ + ": " + str(error)}
print("\\n" + json.dumps(found))
"""


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
    """`runtime`, `reason` and `signal`."""
    nothing = {"runtime": None, "reason": None, "signal": None}
    command = [sys.executable, "-c", _IMPORT, backend]
    try:
        done = subprocess.run(command, capture_output=True, timeout=IMPORT_S, check=False)
    except subprocess.TimeoutExpired:
        return {**nothing, "reason": f"importing it took more than {IMPORT_S:.0f} s"}
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        why = ", an instruction that this CPU does not have" if name == "SIGILL" else ""
        return {**nothing, "signal": name, "reason": f"importing it ended with {name}{why}"}
    said = done.stdout.decode("utf-8", "replace").strip().splitlines()
    if done.returncode == 0 and said:
        return {**nothing, **json.loads(said[-1])}
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return {**nothing, "reason": one_line("".join(last) or f"exit code {done.returncode}")}


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
