"""Sensors of other packages: the host puts the one that a profile names here, in the agent's archive.

A module has `sensor`, which is called with the sysfs root and the profile's options by name: a class derived
from `modnas_agent.energy.sensors.base.Sensor`, or a function that makes one.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def names() -> list[str]:
    """Names that `load` knows, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Any:
    """What makes the sensor; raises whatever importing its module raises."""
    return importlib.import_module(f"{__name__}.{name}").sensor
