"""Which sensor tells a device's energy, and how the agent is asked for it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

from modnas_agent.energy.sensors import SENSORS as BUILT_IN
from modnas_agent.energy.sensors import Sensor
from pydantic import AfterValidator, Field, field_validator, model_validator

from harness.core.strict import Strict
from harness.transport.ssh_names import check_path
from modnas.core.registry import PluginError, Registry, UnknownNameError

# The sensors themselves: they run on the board. One of another package is a module that the agent is given.
SENSORS: Registry[Callable[..., Sensor]] = Registry(
    "power sensor",
    "modnas_hw.sensors",
    {name: f"{make.__module__}:{make.__qualname__}" for name, make in BUILT_IN.items()},
    expected="what makes a modnas_agent.energy.sensors.Sensor",
)
# `auto` takes the first built-in one that is found on the board.
UNNAMED = ("auto", "none")
# Of a module in the agent's archive.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def get_sensor(name: str) -> Callable[..., Sensor]:
    """What makes the sensor called `name`, of the sysfs root and its options.

    Raises UnknownNameError, PluginError.
    """
    make = SENSORS.load(name)
    origin, module = SENSORS.origin(name), sys.modules[make.__module__]
    if origin and (_NAME.fullmatch(name) is None or getattr(module, "sensor", None) is not make):
        raise PluginError(
            f"power sensor {name!r} of package {origin} is not called `sensor` in its module, or its name is "
            "not one of small letters, digits and _; ask its authors"
        )
    return make


def sensor_modules(name: str) -> dict[str, bytes]:
    """What the agent needs for a sensor beside its own modules: sources by their path in its archive."""
    if name in UNNAMED or SENSORS.origin(name) is None:
        return {}
    return {f"modnas_agent/energy/sensors/brought/{name}.py": sensor_source(name)}


def sensor_source(name: str) -> bytes:
    """The module that has the sensor."""
    return inspect.getsource(sys.modules[get_sensor(name).__module__]).encode()


def _known(name: str) -> str:
    try:
        if name not in UNNAMED:
            get_sensor(name)
    except UnknownNameError as error:
        known = ", ".join((*UNNAMED, *SENSORS.names()))
        raise ValueError(f"no power sensor {name!r}; known: {known}") from error
    except PluginError as error:
        raise ValueError(str(error)) from error
    return name


# Fields that say how long to measure; the others are options of the sensor.
_TIMES = ("window_s", "max_window_s")


class PowerSensor(Strict):
    """A power sensor, by name, with what that sensor needs to know; `docs/energy.md` has the list.

    `window_s`: shortest time under load. `max_window_s`: longest; a sensor that needs more gives no energy.
    `max_w`: the most that is held for plausible, in watts, instead of the sensor's own limit. `options`: of
    another package's sensor, those that are no field here.
    """

    name: Annotated[str, AfterValidator(_known)] = "auto"
    window_s: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    max_window_s: Annotated[float, Field(ge=0.1, le=3600)] = 30.0
    max_w: Annotated[float, Field(gt=0)] | None = None
    path: Annotated[str, AfterValidator(check_path)] | None = None
    clock_offset_s: float | None = None
    domain: str | None = None
    rail: str | None = None
    chip: str | None = None
    index: Annotated[int, Field(ge=0)] | None = None
    supply: str | None = None
    current_unit: Literal["uA", "mA"] | None = None
    sysfs_root: Annotated[str, AfterValidator(check_path)] | None = None
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        """A profile may give the name alone."""
        return {"name": given} if isinstance(given, str) else given

    @field_validator("options")
    @classmethod
    def _are_no_fields(cls, options: dict[str, Any]) -> dict[str, Any]:
        if twice := options.keys() & cls.model_fields.keys():
            raise ValueError(f"{min(twice)} is a field of power_sensor itself, not one of its options")
        return options

    def request(self) -> dict[str, Any]:
        """The `energy` object of a measure request."""
        fields = self.model_dump(exclude_none=True, exclude={"name", "options", *_TIMES})
        return {
            "sensor": self.name,
            "options": {**fields, **self.options},
            **{name: getattr(self, name) for name in _TIMES},
        }

    @property
    def extra_time_s(self) -> float:
        """How much longer than a measurement of latency alone one with energy may take."""
        return 4.0 * max(self.window_s, self.max_window_s)
