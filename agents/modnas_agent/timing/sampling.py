"""Timing a runtime's call: warm-up, block size, and sampling until the median is known well enough."""

from __future__ import annotations

import gc
import math
import time
from array import array
from itertools import repeat
from typing import Callable, NamedTuple, Optional, Sequence

from modnas_agent.timing.stats import Interval, median, median_interval
from modnas_agent.wire.request import Timing

#: A timed sample lasts at least this long, else reading the clock would be a visible part of it.
MIN_SAMPLE_NS = 50_000
#: Samples kept at most, a bound on memory (8 bytes each).
MAX_SAMPLES = 200_000
#: The stopping rule looks each time the number of samples has grown by this factor. Looks after every sample
#: would find a narrow interval by luck sooner or later.
LOOK_GROWTH = 1.3
#: Between chunks of this length the loop sees to time limits and progress.
CHUNK_NS = 100_000_000
#: An interval made as wide as the precision is precise, whatever the last bits of its bounds are.
ROUNDING = 1.0 + 1e-9
#: Windows that fit into the longest warm-up: short ones end it sooner, and hold 30 calls of fast networks.
WARMUP_WINDOWS = 20

Run = Callable[[], object]
Clock = Callable[[], int]
#: Called with (phase, calls so far, seconds in the phase, relative half-width or None).
Progress = Callable[[str, int, float, Optional[float]], None]


class WarmUp(NamedTuple):
    """Calls made, the duration of one at the end, seconds spent, and whether the median became stable."""

    n: int
    call_ns: float
    elapsed_s: float
    stable: bool


class Series(NamedTuple):
    """Samples in ms a call in the order taken; `ended_by` is precision, time or samples."""

    samples_ms: Sequence[float]
    block: int
    interval: Interval | None
    ended_by: str
    elapsed_s: float


def warm_up(run: Run, timing: Timing, progress: Progress, clock_ns: Clock = time.perf_counter_ns) -> WarmUp:
    """Call `run` until the medians of two successive windows agree within the precision, or time is up.

    The first call stands outside the windows: runtimes allocate and compile in it. At least one more is made,
    which tells the duration of a call.
    """
    start = clock_ns()
    run()
    calls = 1
    limit_ns = timing.warmup_s * 1e9
    previous: float | None = None
    while True:
        progress("warmup", calls, (clock_ns() - start) / 1e9, None)
        left_ns = limit_ns - (clock_ns() - start)
        window = _window(run, min(limit_ns / WARMUP_WINDOWS, left_ns), clock_ns)
        calls += len(window)
        call_ns = max(1.0, median(window))
        stable = previous is not None and abs(call_ns - previous) <= timing.precision * previous
        elapsed_ns = clock_ns() - start
        if stable or elapsed_ns >= limit_ns:
            return WarmUp(calls, call_ns, elapsed_ns / 1e9, stable)
        previous = call_ns


def _window(run: Run, duration_ns: float, clock_ns: Clock) -> list[float]:
    """Durations of at least one call, until `duration_ns` have passed."""
    durations: list[float] = []
    before = begin = clock_ns()
    while not durations or before - begin < duration_ns:
        run()
        after = clock_ns()
        durations.append(float(after - before))
        before = after
    return durations


def block_size(call_ns: float) -> int:
    """Calls to time together so that a sample is long against the clock."""
    return max(1, math.ceil(MIN_SAMPLE_NS / max(call_ns, 1.0)))


def sample(
    run: Run, call_ns: float, timing: Timing, progress: Progress, clock_ns: Clock = time.perf_counter_ns
) -> Series:
    """Time calls of `run` until the interval of the median is within the precision, or time is up.

    `call_ns` is the duration to expect of one call. With a block of more than one call the samples are means
    over a block, and their quantiles are those of block means.
    """
    block = block_size(call_ns)
    samples = array("d")
    interval: Interval | None = None
    half_width: float | None = None
    look_at = timing.min_samples
    start = clock_ns()
    enabled = gc.isenabled()
    gc.disable()  # a collection inside a sample would be ours, not the network's
    try:
        while True:
            chunk = _chunk_length(clock_ns() - start, len(samples), timing, look_at - len(samples))
            _timed(run, block, chunk, clock_ns, samples)
            elapsed_s = (clock_ns() - start) / 1e9
            progress("measure", len(samples) * block, elapsed_s, half_width)
            ended_by = _limit_reached(len(samples), elapsed_s, timing)
            may_look = len(samples) >= look_at and elapsed_s >= timing.min_time_s
            if not (may_look or ended_by):
                continue
            interval = _interval(samples, timing)
            half_width = interval.half_width(median(samples)) if interval else None
            if may_look and _precise(interval, half_width, timing):
                ended_by = "precision"
            if ended_by:
                break
            look_at = math.ceil(len(samples) * LOOK_GROWTH)
    finally:
        if enabled:
            gc.enable()
    elapsed_s = (clock_ns() - start) / 1e9
    scaled = array("d", (value / 1e6 for value in samples))
    in_ms = interval._replace(low=interval.low / 1e6, high=interval.high / 1e6) if interval else None
    return Series(scaled, block, in_ms, ended_by, elapsed_s)


def _chunk_length(elapsed_ns: float, taken: int, timing: Timing, until_look: int) -> int:
    """Samples to take before anything else is looked at: at least one, at most as many as were taken.

    Their duration so far tells how many fit into the time; doubling keeps a few odd ones from misleading it.
    """
    if not taken:
        return 1
    horizon_ns = min(timing.max_time_s * 1e9 - elapsed_ns, CHUNK_NS)
    before_looks_ns = timing.min_time_s * 1e9 - elapsed_ns
    if before_looks_ns > 0:
        horizon_ns = min(horizon_ns, before_looks_ns)
    chunk = min(taken, int(horizon_ns * taken / max(elapsed_ns, 1)))
    return max(1, min(chunk, until_look) if until_look > 0 else chunk)


def _interval(samples: Sequence[float], timing: Timing) -> Interval | None:
    """The interval of the median; where few samples are independent one with slack, if that is precise.

    Many machines wander by less than the precision, too slowly to be averaged out in a few seconds.
    """
    interval = median_interval(samples)
    if interval is not None and interval.effective_n >= timing.min_samples:
        return interval
    slack = median_interval(samples, slack=timing.precision)
    if slack is not None and _precise(slack, slack.half_width(median(samples)), timing):
        return slack
    return interval


def _precise(interval: Interval | None, half_width: float | None, timing: Timing) -> bool:
    """Narrow, and on enough independent samples: from within one slow fluctuation all looks narrow."""
    if interval is None or half_width is None:
        return False
    return half_width <= timing.precision * ROUNDING and interval.effective_n >= timing.min_samples


def _limit_reached(count: int, elapsed_s: float, timing: Timing) -> str:
    if elapsed_s >= timing.max_time_s:
        return "time"
    return "samples" if count >= MAX_SAMPLES else ""


def _timed(run: Run, block: int, count: int, clock_ns: Clock, samples: array[float]) -> None:
    """Append `count` samples in ns a call. The branch is outside the loop: nothing but the call is timed."""
    append = samples.append
    if block == 1:
        for _ in repeat(None, count):
            begin = clock_ns()
            run()
            append(clock_ns() - begin)
        return
    for _ in repeat(None, count):
        begin = clock_ns()
        for _ in repeat(None, block):
            run()
        append((clock_ns() - begin) / block)
