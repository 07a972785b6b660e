"""Energy between two moments out of a sensor's samples, and per inference with the idle share taken off."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Any, Mapping, NamedTuple, Sequence

from modnas_agent.energy.plausibility import EnergyError, check_plausible
from modnas_agent.energy.sensors.base import ANY_BOARD, COUNTER, Bounds, Sample

#: Updates of the sensor that a window must hold: with fewer, chance decides what the sensor saw.
MIN_UPDATES = 20
#: Longest gap between two updates as a share of the window; a longer one means that readings were lost.
MAX_GAP = 0.25
#: Half-width of the 95 % interval of the net energy, relative, beyond which a result warns about itself.
MAX_HALF_WIDTH = 0.03
#: The first and the last share of a window. Relative to the net power, the first must have this part of it
#: under load; the last may differ from the mean by that where clocks may disagree.
EDGE = 0.1
MIN_BEGIN, MAX_END = 0.5, 0.2
NORMAL_95 = 1.96
#: No sensor tells the same power twice more exactly than this, whatever its readings look like; relative.
REPEATABILITY = 5e-4


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
    stale in between, so repeated values are dropped, and the first, of unknown age, too. A window with
    readings beyond `bounds` has no energy.
    """

    def __init__(self, samples: Sequence[Sample], quantity: str, bounds: Bounds = ANY_BOARD) -> None:
        ordered = sorted(samples)
        self._read_times = [sample.time_s for sample in ordered]
        if quantity == COUNTER:
            ordered = [now for before, now in zip(ordered, ordered[1:]) if now.value != before.value]
        self._samples = ordered
        self._times = [sample.time_s for sample in ordered]
        self._values = [sample.value for sample in ordered]
        self._quantity = quantity
        self._bounds = bounds

    def energy_j(self, window: Window) -> float:
        """Energy in `window` in joules; raises `EnergyError` when the samples do not tell it."""
        self._check(window)
        return self._integral_j(window)

    def check_all(self) -> None:
        """Raises `EnergyError` where the readings, whatever their window, cannot be true."""
        if len(self._samples) > 1:
            check_plausible(self._samples, self._quantity, self._bounds)

    def mean_w(self, window: Window) -> float:
        """Mean power in a part of a window whose energy was told."""
        return self._integral_j(window) / window.length_s

    def edge_w(self, window: Window, *, last: bool) -> float:
        """Mean power in the first or the last share `EDGE` of such a window."""
        edge_s = EDGE * window.length_s
        begin_s = window.end_s - edge_s if last else window.begin_s
        return self.mean_w(Window(begin_s, begin_s + edge_s))

    def edge_error_w(self, window: Window) -> float:
        """How far that may be off by the readings' noise."""
        return NORMAL_95 * self.mean_error_w(window) / math.sqrt(EDGE)

    def _integral_j(self, window: Window) -> float:
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

    def mean_error_w(self, window: Window) -> float:
        """Standard error of the mean power in `window` by the readings' noise.

        That of power readings is told from successive differences (von Neumann, 1941), which a drift does not
        enter. A quick ripple does, though trapezoids follow it: the error is then told too large, not too
        small. That of a counter is how far each value lies off the line between its neighbours: it stands for
        the unknown age of a value, and enters at the window's two ends.
        """
        if self._quantity == COUNTER:
            return math.sqrt(2.0) * self._value_error(window) / window.length_s
        watts = self._values[self._inside(window)]
        squares = [(later - earlier) ** 2 for earlier, later in zip(watts, watts[1:])]
        return math.sqrt(sum(squares) / (2 * len(squares)) / len(watts))

    def _value_error(self, window: Window) -> float:
        """Standard error of a counter's value in joules."""
        inside = self._samples[self._inside(window)]
        squares = []
        for before, now, after in zip(inside, inside[1:], inside[2:]):
            share = (now.time_s - before.time_s) / (after.time_s - before.time_s)
            off_j = now.value - before.value - share * (after.value - before.value)
            squares.append(off_j**2 / (1.0 + share**2 + (1.0 - share) ** 2))
        return math.sqrt(sum(squares) / len(squares))

    def stands_still(self, *windows: Window) -> float | None:
        """The value that all readings in all `windows` have; None when they differ."""
        values = {value for window in windows for value in self._values[self._inside(window)]}
        return values.pop() if len(values) == 1 else None

    def _inside(self, window: Window) -> slice:
        return slice(bisect_left(self._times, window.begin_s), bisect_right(self._times, window.end_s))

    def _check(self, window: Window) -> None:
        count = self.updates(window)
        if count < MIN_UPDATES:
            raise EnergyError(self._too_few(window, count))
        if self._times[0] > window.begin_s or self._times[-1] < window.end_s:
            raise EnergyError("the sensor's readings do not reach over the whole window")
        first, last = bisect_right(self._times, window.begin_s) - 1, bisect_left(self._times, window.end_s)
        covering = self._samples[first : last + 1]
        gap_s = max(later.time_s - earlier.time_s for earlier, later in zip(covering, covering[1:]))
        if gap_s > MAX_GAP * window.length_s:
            raise EnergyError(f"the sensor was silent for {gap_s:.2f} of {window.length_s:.2f} s")
        check_plausible(covering, self._quantity, self._bounds)

    def _too_few(self, window: Window, count: int) -> str:
        reads = bisect_right(self._read_times, window.end_s) - bisect_left(self._read_times, window.begin_s)
        if count == 0 and reads >= MIN_UPDATES:
            return f"the counter stood still: 0 updates in {reads} readings over {window.length_s:.2f} s"
        return (
            f"window too short: {count} updates of the sensor in {window.length_s:.2f} s, "
            f"{MIN_UPDATES} are needed"
        )

    def _at(self, time_s: float) -> float:
        """The value at a moment within the trace, linear between updates."""
        after = bisect_left(self._times, time_s)
        if self._times[after] == time_s:
            return self._values[after]
        span_s = self._times[after] - self._times[after - 1]
        share = (time_s - self._times[after - 1]) / span_s
        return self._values[after - 1] + share * (self._values[after] - self._values[after - 1])


def energy_per_inference(
    trace: Trace, idle: Window, load: Window, inferences: int, *, foreign_clock: bool = False
) -> dict[str, Any]:
    """Gross and net energy in mJ an inference; net is gross less what the idle board takes in the same time.

    `net_half_width` is half the 95 % interval of the net energy by the readings' noise, relative to it.

    Args:
        foreign_clock: whether the readings carry the times of another clock, which may not agree with ours.

    Raises `EnergyError` when a window cannot be told, its readings cannot be true, or the load does not stand
    out of the idle power.
    """
    try:
        idle_w = trace.energy_j(idle) / idle.length_s
    except EnergyError as error:
        raise EnergyError(f"idle power: {error}") from error
    gross_j = trace.energy_j(load)
    net_j = gross_j - idle_w * load.length_s
    load_w = gross_j / load.length_s
    if net_j <= 0:
        still = trace.stands_still(idle, load)
        if still is not None:
            raise EnergyError(f"the sensor's readings stood still at {still:.4g} W, idle and under load")
        raise EnergyError(
            f"the power under load ({load_w:.4g} W) is not above the idle power ({idle_w:.4g} W)"
            + _clock_mend(foreign_clock)
        )
    error_w = math.hypot(trace.mean_error_w(idle), trace.mean_error_w(load), REPEATABILITY * load_w)
    half_width = NORMAL_95 * error_w * load.length_s / net_j
    if half_width >= 1.0:
        raise EnergyError(
            f"too small to tell: {load_w:.4g} W under load, {idle_w:.4g} W idle, and the readings' noise "
            f"leaves the difference uncertain by {NORMAL_95 * error_w:.2g} W{_clock_mend(foreign_clock)}"
        )
    _check_begin(trace, load, idle_w)
    if foreign_clock:
        _check_clock(trace, idle, load)
    return {
        "net_mj": 1e3 * net_j / inferences,
        "net_half_width": half_width,
        "gross_mj": 1e3 * gross_j / inferences,
        "idle_w": idle_w,
        "load_w": load_w,
        "window_s": load.length_s,
        "idle_s": idle.length_s,
        "n": inferences,
        "updates": trace.updates(load),
        "rate_hz": trace.rate_hz(load),
    }


def _check_begin(trace: Trace, load: Window, idle_w: float) -> None:
    """The board has computed for a while when the window begins: readings that show it idle are late."""
    begin_w, load_w = trace.edge_w(load, last=False), trace.mean_w(load)
    if begin_w - idle_w < MIN_BEGIN * (load_w - idle_w) - trace.edge_error_w(load):
        raise EnergyError(
            f"the window under load begins at {begin_w:.4g} W (mean {load_w:.4g} W, idle {idle_w:.4g} W): "
            "the readings follow too late"
        )


def _check_clock(trace: Trace, idle: Window, load: Window) -> None:
    """Readings with the times of a clock that is behind end their windows with what came after these."""
    idle_w, load_w = trace.mean_w(idle), trace.mean_w(load)
    for what, window, mean_w in (("idle", idle, idle_w), ("under load", load, load_w)):
        end_w = trace.edge_w(window, last=True)
        if abs(end_w - mean_w) > MAX_END * (load_w - idle_w) + trace.edge_error_w(window):
            raise EnergyError(
                f"the window {what} ends at {end_w:.4g} W (mean {mean_w:.4g} W): "
                f"the readings do not belong to it{_clock_mend(True)}"
            )


def _clock_mend(foreign_clock: bool) -> str:
    return "; does the meter's clock agree with the board's (clock_offset_s)?" if foreign_clock else ""


def energy_warnings(energy: Mapping[str, Any]) -> list[str]:
    """Why an `energy` object may not deserve trust; empty when nothing speaks against it."""
    half_width = energy.get("net_half_width")
    if half_width is None or half_width <= MAX_HALF_WIDTH:
        return []
    return [
        f"energy window too short: the sensor's noise leaves the net energy uncertain by {half_width:.1%} "
        f"after {energy['window_s']:.1f} s; raise window_s"
    ]
