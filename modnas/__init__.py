"""The algorithm: search spaces, tasks, predictors and the search itself. It knows nothing of hardware.

The public names are those of `__all__`. Everything else in this package is private, but for what the packages
below it export in their own `__all__`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modnas.core.errors import ExportError, InputError, ModnasError
    from modnas.core.inputs import InputSpec
    from modnas.core.metric import Metric, Reading
    from modnas.core.registry import PluginError, UnknownNameError
    from modnas.core.source import ArchitectureSource
    from modnas.core.supernetwork import NoSupernetworkError
    from modnas.prediction import DeviceTable, MetaPredictor, Prediction, fit_predictor
    from modnas.search import Search, SearchConfig, SearchDevice
    from modnas.spaces import (
        Architecture,
        ArchitectureError,
        Preset,
        Recipe,
        Space,
        Supernetwork,
        get_space,
        space_names,
        space_presets,
    )
    from modnas.tasks import TASK_NAMES, AnyTask, DamagedDataError, TaskError, get_task, task_names

__all__ = [
    "TASK_NAMES",
    "AnyTask",
    "Architecture",
    "ArchitectureError",
    "ArchitectureSource",
    "DamagedDataError",
    "DeviceTable",
    "ExportError",
    "InputError",
    "InputSpec",
    "MetaPredictor",
    "Metric",
    "ModnasError",
    "NoSupernetworkError",
    "PluginError",
    "Prediction",
    "Preset",
    "Reading",
    "Recipe",
    "Search",
    "SearchConfig",
    "SearchDevice",
    "Space",
    "Supernetwork",
    "TaskError",
    "UnknownNameError",
    "fit_predictor",
    "get_space",
    "get_task",
    "space_names",
    "space_presets",
    "task_names",
]

# Where each name is: importing the package does not wait for PyTorch.
_PLACES = {
    "modnas.core.errors": ("ExportError", "InputError", "ModnasError"),
    "modnas.core.inputs": ("InputSpec",),
    "modnas.core.metric": ("Metric", "Reading"),
    "modnas.core.registry": ("PluginError", "UnknownNameError"),
    "modnas.core.source": ("ArchitectureSource",),
    "modnas.core.supernetwork": ("NoSupernetworkError",),
    "modnas.prediction": ("DeviceTable", "MetaPredictor", "Prediction", "fit_predictor"),
    "modnas.search": ("Search", "SearchConfig", "SearchDevice"),
    "modnas.spaces": (
        "Architecture",
        "ArchitectureError",
        "Preset",
        "Recipe",
        "Space",
        "Supernetwork",
        "get_space",
        "space_names",
        "space_presets",
    ),
    "modnas.tasks": ("TASK_NAMES", "AnyTask", "DamagedDataError", "TaskError", "get_task", "task_names"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
