"""Energy between two moments out of a sensor's samples, and per inference with the idle share taken off."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple, Sequence

from modnas_agent.sensors.base import COUNTER, Sample

#: Updates of the sensor that a window must hold: with fewer, chance decides what the sensor saw.
MIN_UPDATES = 10
#: Longest gap between two updates as a share of the window; a longer one means that readings were lost.
MAX_GAP = 0.25


class EnergyError(Exception):
    """There is no trustworthy energy; the message says why."""


class Window(NamedTuple):
    """A span of the board's monotonic clock."""

    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Its duration."""
        return self.end_s - self.begin_s


class Trace:
    """What a sensor said, in the order of time.

    Power is integrated by trapezoids, the value at an edge of a window lying on the line between its two
    neighbours. A counter is followed from update to update: its value is exact when it has just moved and
    stale in between, so repeated values are dropped, and the first, of unknown age, too.
    """

    def __init__(self, samples: Sequence[Sample], quantity: str) -> None:
        ordered = sorted(samples)
        if quantity == COUNTER:
            ordered = [now for before, now in zip(ordered, ordered[1:]) if now.value != before.value]
        self._times = [sample.time_s for sample in ordered]
        self._values = [sample.value for sample in ordered]
        self._quantity = quantity

    def energy_j(self, window: Window) -> float:
        """Energy in `window` in joules; raises `EnergyError` when the samples do not tell it."""
        self._check(window)
        if self._quantity == COUNTER:
            return self._at(window.end_s) - self._at(window.begin_s)
        first, last = bisect_right(self._times, window.begin_s), bisect_left(self._times, window.end_s)
        times = [window.begin_s, *self._times[first:last], window.end_s]
        watts = [self._at(window.begin_s), *self._values[first:last], self._at(window.end_s)]
        return sum(
            (later - earlier) * (low + high) / 2.0
            for earlier, later, low, high in zip(times, times[1:], watts, watts[1:])
        )

    def updates(self, window: Window) -> int:
        """How often the sensor was updated in `window`."""
        return bisect_right(self._times, window.end_s) - bisect_left(self._times, window.begin_s)

    def rate_hz(self, window: Window) -> float:
        """Updates a second in `window`, which must hold at least two."""
        first, last = bisect_left(self._times, window.begin_s), bisect_right(self._times, window.end_s)
        inside = self._times[first:last]
        return (len(inside) - 1) / (inside[-1] - inside[0])

    def _check(self, window: Window) -> None:
        count = self.updates(window)
        if count < MIN_UPDATES:
            raise EnergyError(
                f"window too short: {count} updates of the sensor in {window.length_s:.2f} s, "
                f"{MIN_UPDATES} are needed"
            )
        if self._times[0] > window.begin_s or self._times[-1] < window.end_s:
            raise EnergyError("the sensor's readings do not reach over the whole window")
        first, last = bisect_right(self._times, window.begin_s) - 1, bisect_left(self._times, window.end_s)
        covering = self._times[first : last + 1]
        gap_s = max(later - earlier for earlier, later in zip(covering, covering[1:]))
        if gap_s > MAX_GAP * window.length_s:
            raise EnergyError(f"the sensor was silent for {gap_s:.2f} of {window.length_s:.2f} s")

    def _at(self, time_s: float) -> float:
        """The value at a moment within the trace, linear between updates."""
        after = bisect_left(self._times, time_s)
        if self._times[after] == time_s:
            return self._values[after]
        span_s = self._times[after] - self._times[after - 1]
        share = (time_s - self._times[after - 1]) / span_s
        return self._values[after - 1] + share * (self._values[after] - self._values[after - 1])


def energy_per_inference(trace: Trace, idle: Window, load: Window, inferences: int) -> dict[str, Any]:
    """Gross and net energy in mJ an inference; net is gross less what the idle board takes in the same time.

    Raises `EnergyError` when a window cannot be told, or when the load does not stand out of the idle power.
    """
    try:
        idle_w = trace.energy_j(idle) / idle.length_s
    except EnergyError as error:
        raise EnergyError(f"idle power: {error}") from error
    gross_j = trace.energy_j(load)
    net_j = gross_j - idle_w * load.length_s
    if net_j <= 0:
        raise EnergyError(
            f"the power under load ({gross_j / load.length_s:.4g} W) is not above "
            f"the idle power ({idle_w:.4g} W)"
        )
    return {
        "net_mj": 1e3 * net_j / inferences,
        "gross_mj": 1e3 * gross_j / inferences,
        "idle_w": idle_w,
        "load_w": gross_j / load.length_s,
        "window_s": load.length_s,
        "idle_s": idle.length_s,
        "n": inferences,
        "updates": trace.updates(load),
        "rate_hz": trace.rate_hz(load),
    }
