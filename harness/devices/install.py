"""Putting the agent and its runtime on a board, and taking them away again. No root is needed there."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.devices.board import MANIFEST, Board, Interpreter, Manifest
from harness.devices.wheels import REQUIREMENTS, BoardPlatform, runtime_archive
from harness.errors import DeviceUnavailableError
from harness.store import content_key

Say = Callable[[str], None]

# Installing from an index downloads some 30 MB on a board with a slow disk.
PIP_S = 900.0
UNPACK_S = 300.0
# Room for the runtime, unpacked, and for the file it comes in.
NEEDED_MB = 200
_SYSTEM_PACKAGES = {"libstdc++.so.6": "libstdc++6", "libgomp.so.1": "libgomp1"}
# Runs on the board, on any Python from 3.8 on; prints one JSON object as its last line.
_FACTS = """
import ctypes, importlib.util, json, os, platform, sys, sysconfig
def loads(name):
    try:
        ctypes.CDLL(name)
        return True
    except OSError:
        return False
try:
    import onnxruntime, numpy
    runtime, reason = onnxruntime.__version__, None
except Exception as error:
    runtime, reason = None, type(error).__name__ + ": " + str(error)
print(json.dumps({
    "machine": platform.machine(), "libc": platform.libc_ver(), "runtime": runtime, "reason": reason,
    "pip": importlib.util.find_spec("pip") is not None,
    "venv": importlib.util.find_spec("ensurepip") is not None,
    "termux": "com.termux" in (os.environ.get("PREFIX") or sys.prefix),
    "missing": [name for name in sys.argv[1:] if not loads(name)],
}))
"""
_UNPACK = """
import os, shutil, sys, tarfile
archive, target = sys.argv[1:]
partial = target + ".part"
shutil.rmtree(partial, ignore_errors=True)
try:
    with tarfile.open(archive) as tar:
        tar.extractall(partial)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(partial, target)
finally:
    os.remove(archive)
    shutil.rmtree(partial, ignore_errors=True)
"""


@dataclass(frozen=True)
class Installed:
    """What a call of `install` did. `changed` is False when everything was there already."""

    changed: bool
    manifest: Manifest


def facts(board: Board, python: str, packages: str | None = None) -> dict[str, Any]:
    """What decides how the runtime can come to the board: platform, pip, venv, missing system libraries."""
    command = board.python_command(python, "-c", _FACTS, *_SYSTEM_PACKAGES, packages=packages)
    done = board.connection.run(command, 120.0)
    try:
        found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        said = (done.errors.strip() or "nothing").splitlines()[-1]
        raise DeviceUnavailableError(f"{python} on {board.connection.address} fails: {said}") from error
    return found


def install(board: Board, offline: bool, say: Say) -> Installed:
    """Make the board ready: agent and runtime. Does nothing when it is ready already.

    Args:
        offline: bring the runtime from this machine instead of having the board download it.
        say: told what is being done.

    Raises:
        DeviceUnavailableError: what the board lacks, with the mend.
    """
    wanted = content_key({"requirements": list(REQUIREMENTS)})[:12]
    known = board.manifest()
    if known is not None and known.version == wanted and _is_whole(board, known):
        upgraded = not board.has_archive()
        board.bring_archive()
        if upgraded:
            _remove_others(board, known)
        return Installed(upgraded, known)
    python = board.find_python()
    say(f"{board.connection.address}: Python {python.text} at {python.path}")
    found = facts(board, python.path)
    board.bring_archive()
    if found["runtime"]:
        say(f"ONNX Runtime {found['runtime']} is there already")
        made = Manifest(wanted, python.path, None, "present", found["runtime"])
    else:
        made = _install_runtime(board, python, found, wanted, offline=offline, say=say)
    board.write_manifest(made)
    _remove_others(board, made)
    return Installed(True, made)


def uninstall(board: Board) -> bool:
    """Remove the agent's folder with everything in it; whether there was one.

    Raises:
        DeviceUnavailableError: the folder is not the agent's, or it cannot be removed.
    """
    folder = board.directory
    content = board.connection.sizes(folder)
    if not content:
        return False
    if MANIFEST not in content and not any(name.startswith("modnas_agent-") for name in content):
        raise DeviceUnavailableError(
            f"{folder} on {board.connection.address} is not the agent's folder: nothing was removed"
        )
    done = board.connection.run(f"rm -rf -- {shlex.quote(folder)}", UNPACK_S)
    if done.status != 0:
        raise DeviceUnavailableError(f"{board.connection.address}: {done.errors.strip().splitlines()[-1]}")
    return True


def _is_whole(board: Board, manifest: Manifest) -> bool:
    """Whether the interpreter and the packages that were installed are still there."""
    tests = [f"test -x {shlex.quote(manifest.python)}"]
    if manifest.packages is not None:
        tests.append(f"test -d {shlex.quote(manifest.packages)}")
    if board.connection.run(" && ".join(tests)).status != 0:
        return False
    # What was not installed by us may have gone without a trace.
    return manifest.mode != "present" or facts(board, manifest.python)["runtime"] is not None


def _install_runtime(
    board: Board, python: Interpreter, found: dict[str, Any], version: str, *, offline: bool, say: Say
) -> Manifest:
    address = board.connection.address
    if found["termux"]:
        raise DeviceUnavailableError(
            f"{address} is a phone with Termux, for which there are no wheels; install the runtime there "
            "with: pkg install python-onnxruntime"
        )
    if found["missing"]:
        raise DeviceUnavailableError(
            f"{address} lacks {' and '.join(found['missing'])}, which ONNX Runtime needs; install there: "
            f"sudo apt-get install {' '.join(_SYSTEM_PACKAGES[name] for name in found['missing'])}"
        )
    free_mb = board.connection.free_mb(board.directory)
    if free_mb is not None and free_mb < NEEDED_MB:
        raise DeviceUnavailableError(
            f"{address} has {free_mb} MB free, the runtime needs {NEEDED_MB}; free some space there or name "
            "another `directory` in the profile"
        )
    home = board.connection.run("pwd").output.strip().splitlines()[-1]
    packages = posixpath.join(home, board.directory, f"runtime-{version}")
    if offline:
        interpreter, path, mode = _push(board, python, found, packages, say)
    else:
        interpreter, path, mode = _download(board, python, found, packages, say)
    after = facts(board, interpreter, path)
    if not after["runtime"]:
        raise DeviceUnavailableError(f"ONNX Runtime was installed on {address} but fails: {after['reason']}")
    return Manifest(version, interpreter, path, mode, after["runtime"])


def _push(
    board: Board, python: Interpreter, found: dict[str, Any], packages: str, say: Say
) -> tuple[str, str | None, str]:
    """Fetch wheels for the board's platform here, and unpack them there."""
    platform = BoardPlatform(found["machine"], found["libc"], python.version)
    say(f"fetching ONNX Runtime for {platform}")
    archive = runtime_archive(platform)
    say(f"uploading {archive.stat().st_size / 2**20:.0f} MB")
    target = f"{packages}.tar.gz"
    board.connection.make_folder(board.directory)
    board.connection.write(target, archive)
    _run_python(board, python.path, UNPACK_S, "-c", _UNPACK, target, packages)
    return python.path, packages, "offline"


def _download(
    board: Board, python: Interpreter, found: dict[str, Any], packages: str, say: Say
) -> tuple[str, str | None, str]:
    """Have the board's pip do it, in a virtual environment where one can be made."""
    pip = ("-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check")
    if found["venv"]:
        say("making a virtual environment and installing ONNX Runtime from the board's index")
        _run_python(board, python.path, PIP_S, "-m", "venv", "--clear", packages)
        interpreter = f"{packages}/bin/python"
        _run_python(board, interpreter, PIP_S, *pip, *REQUIREMENTS)
        return interpreter, None, "venv"
    if found["pip"]:
        say("installing ONNX Runtime from the board's index")
        _run_python(board, python.path, PIP_S, *pip, "--target", packages, *REQUIREMENTS)
        return python.path, packages, "pip"
    raise DeviceUnavailableError(
        f"{board.connection.address} has neither venv nor pip; bring the runtime from here with: "
        f"{_offline(board)}"
    )


def _run_python(board: Board, python: str, timeout_s: float, *arguments: str) -> None:
    done = board.connection.run(board.python_command(python, *arguments), timeout_s)
    if done.status != 0:
        said = (done.errors.strip() or done.output.strip() or "no message").splitlines()[-1]
        hint = ""
        if "pip" in arguments:
            hint = f"; without a network there, use: {_offline(board)}"
        raise DeviceUnavailableError(f"installing on {board.connection.address} failed: {said}{hint}")


def _offline(board: Board) -> str:
    return f"modnas-hw agent install --device {board.profile.name} --offline"


def _remove_others(board: Board, manifest: Manifest) -> None:
    """Delete what earlier versions left."""
    kept = {posixpath.basename(manifest.packages or ""), manifest.python.split("/bin/")[0].rpartition("/")[2]}
    archive = posixpath.basename(board.archive_path)
    for name in board.connection.sizes(board.directory):
        old_agent = name.startswith("modnas_agent-") and name != archive
        old_runtime = name.startswith("runtime-") and name not in kept
        if old_agent or old_runtime:
            path = f"{board.directory}/{name}"
            board.connection.run(f"rm -rf -- {shlex.quote(path)}", UNPACK_S)
