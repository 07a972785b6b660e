"""Backends by name, and what a profile's makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.backends.base import NAME_PATTERN, Backend
from harness.core.errors import UsageError
from harness.devices.backends import BACKENDS
from harness.devices.power import sensor_modules
from modnas.core.registry import PluginError

if TYPE_CHECKING:
    from harness.devices.profile import DeviceProfile
    from harness.export.artifact import ArtifactCache
    from harness.export.exporters import Exporter


def backend_names() -> list[str]:
    """Names that `get_backend` knows."""
    return BACKENDS.names()


def get_backend(name: str) -> Backend:
    """The backend called `name`. Raises UnknownNameError, PluginError."""
    kind = BACKENDS.load(name)
    if not issubclass(kind, Backend) or kind.name != name or NAME_PATTERN.fullmatch(name) is None:
        raise PluginError(
            f"backend {name!r} of package {BACKENDS.origin(name)} is no harness.backends.Backend with that "
            "name in small letters, digits and _; ask its authors"
        )
    return kind()


def open_exporter(profile: DeviceProfile, cache: ArtifactCache) -> Exporter:
    """The exporter for a profile's backend and options. Raises UsageError for options it cannot honour."""
    backend = get_backend(profile.backend)
    if profile.options.model_dump().get("quantize") and "quantize" not in backend.options.model_fields:
        able = ", ".join(n for n in BACKENDS.built_in if "quantize" in BACKENDS.load(n).options.model_fields)
        raise UsageError(f"device {profile.id}: quantize works with backend {able}, not {profile.backend}")
    return backend.exporter(profile, cache)


def agent_modules(profile: DeviceProfile) -> dict[str, bytes]:
    """What the agent needs beside its own modules for a profile's backend and power sensor.

    Sources by their path in its archive.
    """
    modules = sensor_modules(profile.power_sensor.name)
    source = get_backend(profile.backend).agent_source()
    return modules if source is None else {**modules, f"modnas_agent/backends/{profile.backend}.py": source}
