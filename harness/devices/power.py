"""Which sensor tells a device's energy, and how the agent is asked for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from modnas_agent.energy.sensors import SENSORS
from pydantic import AfterValidator, Field, model_validator

from harness.core.strict import Strict
from harness.transport.ssh_names import check_path

# `auto` takes the first that is found on the board.
SENSOR_NAMES = ("auto", "none", *SENSORS)


def _known(name: str) -> str:
    if name not in SENSOR_NAMES:
        raise ValueError(f"no power sensor {name!r}; known: {', '.join(SENSOR_NAMES)}")
    return name


# Fields that say how long to measure; the others are options of the sensor.
_TIMES = ("window_s", "max_window_s")


class PowerSensor(Strict):
    """A power sensor, by name, with what that sensor needs to know; `docs/energy.md` has the list.

    `window_s`: shortest time under load. `max_window_s`: longest; a sensor that needs more gives no energy.
    `max_w`: the most that is held for plausible, in watts, instead of the sensor's own limit.
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

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        """A profile may give the name alone."""
        return {"name": given} if isinstance(given, str) else given

    def request(self) -> dict[str, Any]:
        """The `energy` object of a measure request."""
        fields = self.model_dump(exclude_none=True, exclude={"name", *_TIMES})
        return {"sensor": self.name, "options": fields, **{name: getattr(self, name) for name in _TIMES}}

    @property
    def extra_time_s(self) -> float:
        """How much longer than a measurement of latency alone one with energy may take."""
        return 4.0 * max(self.window_s, self.max_window_s)
