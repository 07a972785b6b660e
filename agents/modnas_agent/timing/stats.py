"""Median, quantiles and a confidence interval of the median that survives dependence and early stopping.

The interval is made of order statistics: whether a sample lies below the true median is a fair coin
whatever the distribution is, so the ranks that bracket the median follow from the binomial alone. Latencies
are skewed, multi-modal and heavy-tailed; an interval built on their variance would be wrong for all of these.

Two things would make such an interval too narrow, and both are guarded against:

* Neighbouring samples resemble each other (frequency steps, caches, other processes). The variance of the
  number of samples below the median is estimated with their autocorrelation and compared with that of fair
  coins; the ratio widens the ranks (equivalently: shrinks the sample to its effective size). What lasts as
  long as the whole measurement cannot be seen from within it. A wander far below the precision asked for need
  not be averaged out, though: `slack` leaves it out of the estimate and out of what the interval promises.
* The measurement stops when the interval is narrow, which favours moments at which it is too narrow by luck.
  Each look is therefore taken at 99 %, so that about 95 % remain after the few looks the stopping rule takes.
"""

from __future__ import annotations

import math
import operator
from typing import NamedTuple, Sequence

#: Normal quantile of a single look, two-sided 99 %.
LOOK_Z = 2.5758
#: Batches for the dependence estimate at most; bounds its cost.
MAX_BATCHES = 256
#: Widening for dependence that was itself estimated, times the effective sample size. Chosen by simulation:
#: first-order autoregressions with a coefficient of 0.9 are then covered in 95 % of measurements.
DEPENDENCE_CAUTION = 4.0


class Interval(NamedTuple):
    """An interval of the median in the samples' unit, and how many independent samples it is worth."""

    low: float
    high: float
    effective_n: float

    def half_width(self, median: float) -> float:
        """Half the width as a fraction of the median."""
        return (self.high - self.low) / 2.0 / median if median > 0 else math.inf


def quantile(ordered: Sequence[float], probability: float) -> float:
    """Quantile of an ascending sequence, linear between neighbours (numpy's default)."""
    position = (len(ordered) - 1) * probability
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def median(samples: Sequence[float]) -> float:
    """Median of a non-empty sequence in any order."""
    return quantile(sorted(samples), 0.5)


def variance_inflation(samples: Sequence[float], centre: float, band: float = 0.0) -> float:
    """Variance of the count of samples below `centre`, relative to independent samples; at least 1.

    Samples within `band` of the centre count as on it.

    The autocorrelations of short batches' counts are summed until they vanish in noise (Geyer's initial
    positive sequence, 1992), which sees a dependence longer than any batch. Anticorrelated samples would
    justify a narrower interval; they are not given one, as the estimate is too noisy to gain from.
    """
    size = -(-len(samples) // MAX_BATCHES)
    batches = len(samples) // size if size else 0
    if batches < 4:
        return 1.0
    # Deviations from the expected half; a tie counts half, else a coarse clock would look like dependence.
    low, high = centre - band, centre + band
    signs = [0.5 if value < low else -0.5 if value > high else 0.0 for value in samples]
    counts = [sum(signs[batch * size : (batch + 1) * size]) for batch in range(batches)]
    total = -_autocovariance(counts, 0)
    for lag in range(0, batches // 2 - 1, 2):
        pair = _autocovariance(counts, lag) + _autocovariance(counts, lag + 1)
        if pair <= 0:
            break
        total += 2.0 * pair
    return max(1.0, total / (size * 0.25))


def _autocovariance(values: Sequence[float], lag: int) -> float:
    return math.fsum(map(operator.mul, values, values[lag:])) / len(values)


def median_interval(samples: Sequence[float], z: float = LOOK_Z, slack: float = 0.0) -> Interval | None:
    """Interval of the median from samples in the order they were taken, or None when they are too few.

    `slack`, relative to the median: dependence is not looked for in deviations below half of it, and in
    return the interval extends at least that far on either side. Moving every sample by no more than some
    distance moves the median by no more than that: half of the slack pays for what is not looked at, the
    other half for a dependence that is harder to see in what is left.
    """
    count = len(samples)
    if not count:
        return None
    ordered = sorted(samples)
    middle = quantile(ordered, 0.5)
    inflation = variance_inflation(samples, middle, band=middle * slack / 2.0)
    effective_n = count / inflation
    # A dependence estimated from few independent samples is estimated low.
    caution = 1.0 + DEPENDENCE_CAUTION * (1.0 - 1.0 / inflation) / effective_n
    spread = z / 2.0 * math.sqrt(count * inflation) * caution
    # With the continuity correction this is never less than the exact binomial's 99 % for any count.
    low_rank = math.floor((count + 1) / 2.0 - spread)
    if low_rank < 1:
        return None
    high_rank = count + 1 - low_rank
    low, high = ordered[low_rank - 1], ordered[high_rank - 1]
    return Interval(min(low, middle * (1.0 - slack)), max(high, middle * (1.0 + slack)), effective_n)


def quantiles(samples: Sequence[float], points: int) -> list[float]:
    """`points` equally spaced quantiles from the minimum to the maximum."""
    ordered = sorted(samples)
    return [quantile(ordered, index / (points - 1)) for index in range(points)]
