"""The `latency` object of a result, and the warnings a measurement gives about itself."""

from __future__ import annotations

from typing import Any, Mapping

from modnas_agent.timing.sampling import Series, WarmUp
from modnas_agent.timing.stats import median, quantile, quantiles
from modnas_agent.wire.request import Timing

#: Samples sent in full; past that a summary of 101 quantiles is sent instead.
MAX_SENT_SAMPLES = 1000
COMPETING_LOAD_LIMIT = 0.10
#: Fewer samples than this bound the median on neither side however independent (`median_interval`).
MIN_SAMPLES_OF_INTERVAL = 9
#: Preemptions a second. A quiet core sees a few; one shared with a busy process sees over a hundred.
PREEMPTION_LIMIT_HZ = 50.0


def latency_summary(series: Series, warmup: WarmUp) -> dict[str, Any]:
    """Statistics in ms a call; `half_width` is a fraction of the median; too few samples give no interval."""
    ordered = sorted(series.samples_ms)
    middle = quantile(ordered, 0.5)
    interval = series.interval
    latency: dict[str, Any] = {
        "median_ms": middle,
        "p10_ms": quantile(ordered, 0.10),
        "p90_ms": quantile(ordered, 0.90),
        "p99_ms": quantile(ordered, 0.99),
        "mean_ms": sum(ordered) / len(ordered),
        "ci_low_ms": interval.low if interval else None,
        "ci_high_ms": interval.high if interval else None,
        "half_width": interval.half_width(middle) if interval else None,
        "n": len(ordered),
        "effective_n": interval.effective_n if interval else None,
        "block": series.block,
        "warmup_n": warmup.n,
        "ended_by": series.ended_by,
    }
    if len(ordered) <= MAX_SENT_SAMPLES:
        latency["samples_ms"] = [round(value, 7) for value in series.samples_ms]
    else:
        latency["quantiles_ms"] = [round(value, 7) for value in quantiles(ordered, 101)]
    return latency


def warnings(
    series: Series,
    warmup: WarmUp,
    timing: Timing,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    preemptions: int | None,
) -> list[str]:
    """Why this measurement may not deserve trust; empty when nothing speaks against it."""
    found = []
    interval = series.interval
    if interval is None:
        found.append(f"no confidence interval: {_why_no_interval(series)}")
    elif series.ended_by != "precision":
        reached = interval.half_width(median(series.samples_ms))
        found.append(f"precision not reached: {reached:.2%} instead of {timing.precision:.2%}")
    if not warmup.stable:
        found.append("the median was still moving at the end of the warm-up")
    load = after.get("competing_load")
    if load is not None and load > COMPETING_LOAD_LIMIT:
        found.append(f"other processes used {load:.0%} of the CPUs measured on")
    if preemptions is not None and preemptions > PREEMPTION_LIMIT_HZ * max(series.elapsed_s, 0.1):
        found.append(f"preempted {preemptions} times in {series.elapsed_s:.2f} s")
    if after.get("throttle_flags") or _grew(before, after, "throttle_count"):
        found.append("the CPU was throttled")
    drift = half_drift(series)
    if drift is not None and abs(drift) > 2 * timing.precision:
        found.append(f"the second half's median differs from the first half's by {drift:+.2%}")
    return found


def _why_no_interval(series: Series) -> str:
    count = len(series.samples_ms)
    if count < MIN_SAMPLES_OF_INTERVAL:
        return f"{count} samples are too few"
    return f"{count} samples that rise and fall together bound no median; the device is disturbed"


def half_drift(series: Series) -> float | None:
    """Median of the second half relative to the first's, minus 1; None below 10 samples."""
    count = len(series.samples_ms)
    if count < 10:
        return None
    first, second = median(series.samples_ms[: count // 2]), median(series.samples_ms[count // 2 :])
    return second / first - 1.0 if first > 0 else None


def _grew(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> bool:
    old, new = before.get(key), after.get(key)
    return old is not None and new is not None and new > old
