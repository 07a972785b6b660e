"""How well a device's measurements repeat from one session to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import kendalltau

from harness.store import Measurement
from harness.store.metrics import LATENCY, HardwareMetric, value_of


@dataclass(frozen=True)
class Repeatability:
    """Two sessions compared over the architectures that both measured.

    Attributes:
        architectures: how many those are.
        kendall: rank correlation of the two sessions' values; None for fewer than two architectures, and
            where a session's are all equal.
        median_difference: median over the architectures of |second / first - 1|.
        metric: what was compared.
        others: the same of other metrics.
    """

    architectures: int
    kendall: float | None
    median_difference: float | None
    metric: str = LATENCY.name
    others: tuple[Repeatability, ...] = ()

    def __str__(self) -> str:
        of = "" if self.metric == LATENCY.name else f" of {self.metric}"
        if self.median_difference is None:
            return f"repeatability{of}: too few architectures were measured in both sessions"
        tau = "undefined" if self.kendall is None else f"{self.kendall:.3f}"
        return (
            f"repeatability{of} over {self.architectures} architectures: Kendall tau {tau}, "
            f"median difference {self.median_difference:.2%}"
        )


def compare_sessions(
    first: Sequence[Measurement], second: Sequence[Measurement], metrics: Sequence[HardwareMetric] = ()
) -> Repeatability:
    """Compare what two sessions measured of the same architectures; failures are left out.

    Returns:
        How well latencies repeat, and as its `others` how well those of `metrics` do.
    """
    others = tuple(_compare(first, second, metric) for metric in metrics if metric is not LATENCY)
    return replace(_compare(first, second, LATENCY), others=others)


def _compare(
    first: Sequence[Measurement], second: Sequence[Measurement], metric: HardwareMetric
) -> Repeatability:
    before, after = (
        {row.arch: value for row in rows if (value := value_of(metric, row)) is not None}
        for rows in (first, second)
    )
    pairs = np.array([(before[a], after[a]) for a in before if a in after], dtype=np.float64)
    if len(pairs) < 2:
        return Repeatability(len(pairs), None, None, metric.name)
    # Undefined where all values of a session are equal, as those of sizes may be.
    tau = float(kendalltau(pairs[:, 0], pairs[:, 1]).statistic)
    difference = float(np.median(np.abs(pairs[:, 1] / pairs[:, 0] - 1)))
    return Repeatability(len(pairs), tau if np.isfinite(tau) else None, difference, metric.name)
