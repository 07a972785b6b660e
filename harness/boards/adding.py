"""Profiles that come from asking a board what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.backends import get_backend
from harness.boards.board import Board, describe
from harness.core.errors import UsageError
from harness.core.home import subfolder, typed_path, write_atomically
from harness.devices.backends import BACKENDS
from harness.devices.profile import (
    NAME_PATTERN,
    DeviceProfile,
    MeasurementPolicy,
    RemoteTransport,
    first_problem,
)
from harness.devices.registry import device_names, is_user_profile
from harness.transport.settings import SshSettings
from harness.transport.ssh_address import parse_destination

# A measurement may take this share of the board's memory; the system needs the rest.
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class Added:
    """A new profile and what the board said."""

    path: Path
    profile: DeviceProfile
    inventory: dict[str, Any]


def ssh_settings(destination: str, **given: str | None) -> SshSettings:
    """Settings for `user@host[:port]` and what was given beside it; paths begin here. Raises UsageError."""
    fields = parse_destination(destination).model_dump()
    fields.update({key: value for key, value in given.items() if value is not None})
    try:
        return SshSettings.model_validate(fields).located(typed_path)
    except ValidationError as error:
        where, what = first_problem(error)
        raise UsageError(f"{where}: {what}") from error


def add_board(name: str, settings: SshSettings, force: bool = False) -> Added:
    """Interview a board and write its profile. Nothing is left on the board.

    Raises:
        UsageError: the name is malformed or taken, or the settings cannot be used.
        DeviceUnavailableError: the board cannot be reached or has no usable Python.
    """
    path = _profile_path(name)
    if path.exists() and not force:
        raise UsageError(f"there is a profile {path} already; --force replaces it")
    draft = DeviceProfile(name=name, transport=RemoteTransport(ssh=settings))
    with Board(draft) as board:
        inventory = dict(board.hello().get("inventory") or {})
    limit_mb = MeasurementPolicy().memory_limit_mb
    memory_mb = inventory.get("memory_mb")
    if isinstance(memory_mb, int) and limit_mb is not None:
        limit_mb = max(64, min(limit_mb, int(memory_mb * _MEMORY_SHARE)))
    told: dict[str, Any] = {}
    for backend in BACKENDS.built_in:
        told |= get_backend(backend).options_for(inventory)
    profile = draft.model_copy(
        update={
            "description": describe(inventory),
            "policy": MeasurementPolicy(memory_limit_mb=limit_mb),
            "options": draft.options.model_copy(update=told),
        }
    )
    content = profile.model_dump(exclude_defaults=True)
    written = {field: value for field, value in content.items() if value != {}}
    write_atomically(path, yaml.safe_dump(written, sort_keys=False, allow_unicode=True))
    return Added(path, profile, inventory)


def remove_profile(name: str) -> Path:
    """Delete a profile of the user's; its path. Raises UsageError when there is none."""
    path = _profile_path(name)
    try:
        path.unlink()
    except FileNotFoundError as error:
        own = ", ".join(filter(is_user_profile, device_names())) or "none"
        raise UsageError(
            f"there is no profile {path}; known: {own}; shipped profiles cannot be removed"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be removed: {error.strerror}") from error
    return path


def _profile_path(name: str) -> Path:
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(f"{name!r} is no device name; letters, digits, '_', '.' and '-' make one")
    return subfolder("devices") / f"{name}.yaml"
