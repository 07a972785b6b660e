"""Profiles by name: the shipped ones, shadowed by the user's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.home import home
from harness.devices.backends import BACKENDS
from harness.devices.profile import MAX_BATCH, NAME_PATTERN, DeviceProfile, load_profile

_SPEC = re.compile(rf"({NAME_PATTERN})(?:@([0-9]{{1,5}}))?")


def _paths() -> dict[str, Path]:
    """Profile files by device name; a later source shadows an earlier one."""
    with as_file(files("device_profiles")) as folder:
        shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    user = {path.stem: path for path in sorted((home() / "devices").glob("*.yaml"))}
    return {**shipped, **user}


def device_names() -> list[str]:
    """Names of all profiles, sorted. The files are not read."""
    return sorted(_paths())


def get_profile(spec: str, others: Iterable[str] = ()) -> DeviceProfile:
    """The profile for `NAME` or `NAME@BATCH`. `others`: devices without one, for the message.

    Raises:
        UsageError: no such device, or a malformed name.
        ProfileError: its file is broken.
    """
    match = _SPEC.fullmatch(spec)
    paths = _paths()
    base, at, _ = spec.partition("@")
    if at and base in paths and (match is None or not 1 <= int(match[2]) <= MAX_BATCH):
        raise UsageError(
            f"device {spec!r}: a batch size is a whole number from 1 to {MAX_BATCH}, as in {base}@32"
        )
    if match is None or match[1] not in paths:
        known = ", ".join(sorted({*paths, *others}))
        raise UsageError(f"no device {spec!r}; known: {known} (modnas-hw devices list)")
    profile = load_profile(paths[match[1]])
    if match[2] is None:
        return profile
    return DeviceProfile.model_validate({**profile.model_dump(), "batch": int(match[2])})


def with_options(
    profile: DeviceProfile, backend: str | None, quantize: str | None, per_op: bool
) -> DeviceProfile:
    """The profile measured with other options than it says, where these are given.

    Raises UsageError for options that do not go together.
    """
    changed = profile.changed(backend, **({"quantize": quantize} if quantize else {}))
    if per_op and not BACKENDS.load(changed.backend).times_operators:
        able = ", ".join(name for name in BACKENDS.built_in if BACKENDS.load(name).times_operators)
        raise UsageError(f"--per-op works with backend {able}, not {changed.backend}")
    return changed


def is_user_profile(name: str) -> bool:
    """Whether the profile comes from the user's folder."""
    return _paths()[name].parent == home() / "devices"
