"""How well a device's measurements repeat from one session to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from harness.store import Measurement


@dataclass(frozen=True)
class Repeatability:
    """Two sessions compared over the architectures that both measured.

    Attributes:
        architectures: how many those are.
        kendall: rank correlation of the two sessions' latencies; None for fewer than two architectures.
        median_difference: median over the architectures of |second / first - 1|.
    """

    architectures: int
    kendall: float | None
    median_difference: float | None

    def __str__(self) -> str:
        if self.kendall is None or self.median_difference is None:
            return "repeatability: too few architectures were measured in both sessions"
        return (
            f"repeatability over {self.architectures} architectures: Kendall tau {self.kendall:.3f}, "
            f"median difference {self.median_difference:.2%}"
        )


def compare_sessions(first: Sequence[Measurement], second: Sequence[Measurement]) -> Repeatability:
    """Compare latencies of the same architectures in two sessions; failures are left out."""
    before = {row.arch: row.latency_ms for row in first if row.latency_ms is not None}
    after = {row.arch: row.latency_ms for row in second if row.latency_ms is not None}
    pairs = np.array([(before[a], after[a]) for a in before if a in after], dtype=np.float64)
    if len(pairs) < 2:
        return Repeatability(len(pairs), None, None)
    tau = float(kendalltau(pairs[:, 0], pairs[:, 1]).statistic)
    return Repeatability(len(pairs), tau, float(np.median(np.abs(pairs[:, 1] / pairs[:, 0] - 1))))
