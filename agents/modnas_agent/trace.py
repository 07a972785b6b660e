"""Energy between two moments out of a sensor's samples, and per inference with the idle share taken off."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Any, Mapping, NamedTuple, Sequence

from modnas_agent.sensors.base import COUNTER, Sample

#: Updates of the sensor that a window must hold: with fewer, chance decides what the sensor saw.
MIN_UPDATES = 20
#: Longest gap between two updates as a share of the window; a longer one means that readings were lost.
MAX_GAP = 0.25
#: Half-width of the 95 % interval of the net energy, relative, beyond which a result warns about itself.
MAX_HALF_WIDTH = 0.03
NORMAL_95 = 1.96


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
        inside = self._inside(window)
        return int(inside.stop - inside.start)

    def rate_hz(self, window: Window) -> float:
        """Updates a second in `window`, which must hold at least two."""
        inside = self._times[self._inside(window)]
        return (len(inside) - 1) / (inside[-1] - inside[0])

    def mean_error_w(self, window: Window) -> float | None:
        """Standard error of the mean power in `window` by the readings' noise; None for a counter.

        The noise is told from successive differences (von Neumann, 1941), which a drift does not enter. A
        quick ripple does, though trapezoids follow it: the error is then told too large, not too small.
        """
        if self._quantity == COUNTER:
            return None
        watts = self._values[self._inside(window)]
        squares = [(later - earlier) ** 2 for earlier, later in zip(watts, watts[1:])]
        return math.sqrt(sum(squares) / (2 * len(squares)) / len(watts))

    def _inside(self, window: Window) -> slice:
        return slice(bisect_left(self._times, window.begin_s), bisect_right(self._times, window.end_s))

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

    `net_half_width` is half the 95 % interval of the net energy by the readings' noise, relative to it; None
    for counters.

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
    idle_error_w, load_error_w = trace.mean_error_w(idle), trace.mean_error_w(load)
    half_width = None
    if idle_error_w is not None and load_error_w is not None:
        half_width = NORMAL_95 * math.hypot(idle_error_w, load_error_w) * load.length_s / net_j
    return {
        "net_mj": 1e3 * net_j / inferences,
        "net_half_width": half_width,
        "gross_mj": 1e3 * gross_j / inferences,
        "idle_w": idle_w,
        "load_w": gross_j / load.length_s,
        "window_s": load.length_s,
        "idle_s": idle.length_s,
        "n": inferences,
        "updates": trace.updates(load),
        "rate_hz": trace.rate_hz(load),
    }


def energy_warnings(energy: Mapping[str, Any]) -> list[str]:
    """Why an `energy` object may not deserve trust; empty when nothing speaks against it."""
    half_width = energy.get("net_half_width")
    if half_width is None or half_width <= MAX_HALF_WIDTH:
        return []
    return [
        f"energy window too short: the sensor's noise leaves the net energy uncertain by {half_width:.1%} "
        f"after {energy['window_s']:.1f} s; raise window_s"
    ]
