"""What of a network on a device can be measured, minimised or bounded: the contract of a metric.

A metric says how it is called, in what unit, which way is better, and where a measurement has it. Whoever
stores, predicts, searches, compares or shows values does so for any metric.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

Row = TypeVar("Row")
Sense = Literal["minimise", "maximise"]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_UNIT = re.compile(r"[A-Za-z][A-Za-z0-9]*")
# The first objective of every search, which is no device's.
_TAKEN = ("error",)


@dataclass(frozen=True)
class Reading:
    """What one measurement says of a metric.

    Args:
        value: in the metric's unit; None where the measurement has none, never 0 or a guess.
        spread: 10th and 90th percentile of what `value` is the median of, where there were several samples.
        interval: 95 % confidence interval of `value`, likewise.
        reason: why there is no value.
        outdated: there is none because the measurement is older than the metric: another would have it.
    """

    value: float | None = None
    spread: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    reason: str | None = None
    outdated: bool = False


def _no_origin(row: Any) -> str | None:
    return None


@dataclass(frozen=True)
class Metric(Generic[Row]):
    """A metric. `Row` is what measurements are stored as.

    Args:
        name: as in `--objectives` and in keys: lower case, words joined by underscores.
        unit: as people write it, such as `mJ`.
        read: what a successful measurement says of it.
        sense: which way is better.
        needs_sensor: it is measured only where it is asked for, with the device's power sensor.
        origin: what told the value where that matters, such as a sensor: values of one device count together
            only where it is the same.

    Raises:
        ValueError: the name or the unit is none.
    """

    name: str
    unit: str
    read: Callable[[Row], Reading]
    sense: Sense = "minimise"
    needs_sensor: bool = False
    origin: Callable[[Row], str | None] = _no_origin

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            raise ValueError(f"{self.name!r} is no metric's name: lower-case words joined by underscores")
        if not _UNIT.fullmatch(self.unit):
            raise ValueError(f"metric {self.name}: {self.unit!r} is no unit: letters and digits")

    @property
    def suffix(self) -> str:
        """The unit as keys, tables and files spell it."""
        return self.unit.lower()

    @property
    def key(self) -> str:
        """The key of its values in JSON documents, such as `latency_ms`."""
        return f"{self.name}_{self.suffix}"

    @property
    def title(self) -> str:
        """For the head of a column and the axis of a plot, such as `peak memory MB`."""
        return f"{self.name.replace('_', ' ')} {self.unit}"

    @property
    def sign(self) -> float:
        """What its values are multiplied with where everything is minimised."""
        return 1.0 if self.sense == "minimise" else -1.0
