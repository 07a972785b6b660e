"""Runtimes: the host's side of each, one file a runtime; others by the group `modnas_hw.backends`."""

from harness.backends.base import Backend
from harness.backends.registry import agent_modules, backend_names, get_backend, open_exporter
from harness.backends.runtime import Runtime, WheelFile
from harness.devices.backends import BackendOptions

__all__ = [
    "Backend",
    "BackendOptions",
    "Runtime",
    "WheelFile",
    "agent_modules",
    "backend_names",
    "get_backend",
    "open_exporter",
]
