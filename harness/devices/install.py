"""Putting the agent and a runtime on a board, and taking them away again. No root is needed there."""

from __future__ import annotations

import posixpath
import shlex
from contextlib import suppress
from dataclasses import dataclass

from harness.devices.board import AGENT_PREFIX, MANIFEST_PREFIX, Board, Manifest
from harness.devices.runtime_install import UNPACK_S, RuntimeInstaller, Say, facts, runtime_prefix
from harness.devices.runtimes import Runtime, runtime_of
from harness.errors import DeviceUnavailableError
from harness.foreign import last_line
from harness.store import content_key


@dataclass(frozen=True)
class Installed:
    """What a call of `install` did. `changed` is False when everything was there already."""

    changed: bool
    manifest: Manifest


def install(board: Board, offline: bool, say: Say) -> Installed:
    """Make the board ready: agent, and the runtime of the profile's backend. Does nothing when it is ready.

    What fails on a board that had nothing of ours leaves nothing there.

    Args:
        offline: bring the runtime from this machine instead of having the board download it.
        say: told what is being done.

    Raises:
        DeviceUnavailableError: what the board lacks, with the mend.
        UsageError: the backend's runtime is not installed from here.
    """
    runtime = runtime_of(board.profile.backend)
    wanted = content_key(runtime.identity)[:12]
    known, upgraded = board.manifest(), not board.has_archive()
    if known is not None and known.version == wanted and _is_whole(board, known, runtime):
        board.bring_archive()
        if upgraded:
            _remove_others(board, known)
        return Installed(upgraded, known)
    was_bare = not board.connection.sizes(board.directory)
    try:
        made = _install(board, runtime, wanted, offline=offline, say=say)
    except BaseException:
        if was_bare:
            with suppress(DeviceUnavailableError):
                _remove(board, board.directory)
        raise
    return Installed(True, made)


def _install(board: Board, runtime: Runtime, version: str, *, offline: bool, say: Say) -> Manifest:
    python = board.find_python()
    say(f"{board.connection.address}: Python {python.text} at {python.path}")
    board.bring_archive()
    found = facts(board, python.path, runtime)
    if found["runtime"]:
        say(f"{runtime.name} {found['runtime']} is there already")
        made = Manifest(version, python.path, None, "present", found["runtime"])
    else:
        made = RuntimeInstaller(board, runtime, python, found, say).run(version, offline)
    board.write_manifest(made)
    _remove_others(board, made)
    return made


def uninstall(board: Board) -> bool:
    """Remove the agent's folder with everything in it; whether there was one.

    Raises:
        DeviceUnavailableError: the folder is not the agent's, or it cannot be removed.
    """
    folder = board.directory
    content = board.connection.sizes(folder)
    if not content:
        return False
    if not any(name.startswith((MANIFEST_PREFIX, AGENT_PREFIX)) for name in content):
        raise DeviceUnavailableError(
            f"{folder} on {board.connection.address} is not the agent's folder: nothing was removed"
        )
    _remove(board, folder)
    return True


def _remove(board: Board, path: str) -> None:
    done = board.connection.run(f"rm -rf -- {shlex.quote(path)}", UNPACK_S)
    if done.status != 0:
        said = last_line(done.errors) or f"rm ended with status {done.status}"
        raise DeviceUnavailableError(f"{board.connection.address}: {said}")


def _is_whole(board: Board, manifest: Manifest, runtime: Runtime) -> bool:
    """Whether the interpreter and the packages that were installed are still there."""
    tests = [f"test -x {shlex.quote(manifest.python)}"]
    if manifest.packages is not None:
        tests.append(f"test -d {shlex.quote(manifest.packages)}")
    if board.connection.run(" && ".join(tests)).status != 0:
        return False
    if manifest.mode != "present":
        return True
    # What was not installed by us may have gone without a trace.
    board.bring_archive()
    return facts(board, manifest.python, runtime)["runtime"] is not None


def _remove_others(board: Board, manifest: Manifest) -> None:
    """Delete agents of other versions, and what earlier versions of this runtime left."""
    prefix, kept = runtime_prefix(board.profile.backend), f"{manifest.packages or ''}/{manifest.python}/"
    archive = posixpath.basename(board.archive_path)
    for name in board.connection.sizes(board.directory):
        old_agent = name.startswith(AGENT_PREFIX) and name != archive
        old_runtime = name.startswith(prefix) and f"/{name}/" not in kept
        if old_agent or old_runtime:
            _remove(board, f"{board.directory}/{name}")
