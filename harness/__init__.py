"""Hardware-in-the-loop search for neural architectures, from Python; `docs/python.md` shows how.

    import harness

    with harness.Study(devices=["cpu"], preset="quick") as study:
        result = study.run()

The public names are those of `__all__`, which keep their meaning from version to version. Everything else in
this package is private, but for what `harness.backends` and `harness.testing` export: it moves and changes
without notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.core.errors import DeviceUnavailableError, ModnasHwError, UsageError
    from harness.core.lock import InUseError
    from harness.core.progress import Event, Note, Progress, Stage
    from harness.measure.profile_devices import Profiled
    from harness.measure.reports import ProfileReport
    from harness.public import device, profile, space
    from harness.runs.accuracy import AccuracySource, ComputedAccuracy
    from harness.runs.results import Front, Networks, SearchResult, Verification
    from harness.store import Store
    from harness.study import Study

    __version__: str

__all__ = [
    "AccuracySource",
    "ComputedAccuracy",
    "DeviceUnavailableError",
    "Event",
    "Front",
    "InUseError",
    "ModnasHwError",
    "Networks",
    "Note",
    "ProfileReport",
    "Profiled",
    "Progress",
    "SearchResult",
    "Stage",
    "Store",
    "Study",
    "UsageError",
    "Verification",
    "__version__",
    "device",
    "profile",
    "space",
]

# Where each name is, so that `import harness` and the command line's help need not wait for PyTorch.
_PLACES = {
    "harness.core.errors": ("DeviceUnavailableError", "ModnasHwError", "UsageError"),
    "harness.core.lock": ("InUseError",),
    "harness.measure.profile_devices": ("Profiled",),
    "harness.measure.reports": ("ProfileReport",),
    "harness.core.progress": ("Event", "Note", "Progress", "Stage"),
    "harness.public": ("device", "profile", "space"),
    "harness.runs.accuracy": ("AccuracySource", "ComputedAccuracy"),
    "harness.runs.results": ("Front", "Networks", "SearchResult", "Verification"),
    "harness.store": ("Store",),
    "harness.study": ("Study",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module
    from importlib.metadata import version

    if name == "__version__":
        return version("modnas-hw")
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
