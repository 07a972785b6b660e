"""Putting the agent and a runtime on a board, and taking them away again. No root is needed there."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from modnas_agent.folder import ARCHIVE, TREE

from harness.backends import Runtime, get_backend
from harness.boards.agent_folder import Left
from harness.boards.board import Board, Manifest
from harness.boards.runtime_facts import facts
from harness.boards.runtime_install import RuntimeInstaller, Say, runtime_prefix
from harness.core.errors import DeviceUnavailableError, UsageError
from harness.store import content_key


@dataclass(frozen=True)
class Installed:
    """What a call of `install` did. `changed` is False when everything was there already."""

    changed: bool
    manifest: Manifest


def install(board: Board, offline: bool, say: Say, versions: Sequence[str] | None = None) -> Installed:
    """Make the board ready: agent, and the runtime of the profile's backend. Does nothing when it is ready.

    What fails on a board that had nothing of ours leaves nothing there. A folder with somebody else's files
    is refused.

    Args:
        offline: bring the runtime from this machine instead of having the board download it.
        say: told what is being done.
        versions: of the runtime's packages, `name==version`; `name` alone is the newest that fits. Without
            them those that were chosen for this board before.

    Raises:
        DeviceUnavailableError: what the board lacks, and what to do.
        UsageError: the backend's runtime is not installed from here, or has no such versions.
    """
    runtime = get_backend(board.profile.backend).runtime()
    given = None if versions is None else runtime.check_versions(versions)
    before = board.folder.check()
    known, upgraded = board.manifest(), not board.has_archive()
    chosen = given if given is not None else _chosen_before(runtime, known)
    runtime = runtime.chosen(chosen)
    wanted = content_key(runtime.identity)[:12]
    if known is not None and known.version == wanted and _is_whole(board, known, runtime):
        board.bring_archive()
        board.folder.mark()
        if upgraded:
            _remove_others(board, known)
        return Installed(upgraded, known)
    try:
        made = _install(board, runtime, wanted, chosen, offline=offline, say=say)
    except BaseException:
        if not before:
            with suppress(DeviceUnavailableError):
                _undo(board, was_there=before is not None)
        raise
    return Installed(True, made)


def _chosen_before(runtime: Runtime, known: Manifest | None) -> tuple[str, ...]:
    """The versions in a manifest, unless they mean nothing to this host."""
    try:
        return () if known is None else runtime.check_versions(known.chosen)
    except UsageError:
        return ()


def _install(
    board: Board, runtime: Runtime, version: str, chosen: tuple[str, ...], *, offline: bool, say: Say
) -> Manifest:
    python = board.find_python()
    say(f"{board.connection.address}: Python {python.text} at {python.path}")
    board.bring_archive()
    found = facts(board, python.path, runtime)
    if found.runtime and set(chosen) <= {f"{name}=={there}" for name, there in found.versions.items()}:
        say(f"{runtime.name} {found.runtime} is there already")
        made = Manifest(version, python.path, None, "present", found.runtime, python.path, chosen)
    else:
        made = RuntimeInstaller(board, runtime, chosen, offline, python, found, say).run(version)
    board.write_manifest(made)
    board.folder.mark()
    _remove_others(board, made)
    return made


def uninstall(board: Board) -> Left | None:
    """Remove what is the agent's from its folder, and the folder when nothing else is in it.

    Returns:
        What was left there; None where nothing was installed.

    Raises:
        DeviceUnavailableError: the folder is not the agent's, or something cannot be removed.
    """
    found = board.folder.entries()
    if not found:
        return None
    if not board.folder.is_agents(found):
        raise DeviceUnavailableError(
            f"{board.directory} on {board.connection.address} is not the agent's folder: nothing was removed"
        )
    return board.in_folder("take-away")


def _undo(board: Board, was_there: bool) -> None:
    """Remove what an installation that failed has left in a folder that was empty, or not there."""
    found = board.folder.entries()
    if found or (found is not None and not was_there):
        board.in_folder("remove" if was_there else "take-away")


def _is_whole(board: Board, manifest: Manifest, runtime: Runtime) -> bool:
    """Whether the runtime that was found or installed can still be loaded, and by the same interpreter."""
    if board.connection.run(f"test -x {shlex.quote(manifest.python)}").status != 0:
        return False
    board.bring_archive()
    try:
        return facts(board, manifest.python, runtime, manifest.packages).runtime is not None
    except DeviceUnavailableError:  # the interpreter itself fails
        return False


def _remove_others(board: Board, manifest: Manifest) -> None:
    """Delete agents of other versions, and what earlier versions of this runtime left."""
    prefix, kept = runtime_prefix(board.profile.backend), f"{manifest.packages or ''}/{manifest.python}/"
    archive = posixpath.basename(board.archive_path)
    old = [
        name
        for name in board.folder.entries() or {}
        if (ARCHIVE.fullmatch(name) and name != archive)
        or (TREE.fullmatch(name) and name.startswith(prefix) and f"/{name}/" not in kept)
    ]
    if old:
        board.in_folder("remove", *old)
