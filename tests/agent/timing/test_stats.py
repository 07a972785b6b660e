"""Statistics: goldens, exactness of the ranks, and coverage under the stopping rule."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modnas_agent.timing.sampling import Series, WarmUp, block_size, sample, warm_up
from modnas_agent.timing.stats import median, median_interval, quantile, variance_inflation
from modnas_agent.wire.request import Timing
from scipy.stats import binom

Durations = Callable[[random.Random], Iterator[float]]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_quantile_agrees_with_numpy(samples: list[float], probability: float) -> None:
    assert quantile(sorted(samples), probability) == pytest.approx(
        np.quantile(samples, probability), abs=1e-6
    )


def test_median_of_even_and_odd_counts() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5


@pytest.mark.parametrize("count", [9, 10, 13, 19])
def test_the_ranks_hold_what_the_binomial_promises(count: int) -> None:
    """Samples that alternate around the median count as independent: at least 99 %, by the exact binomial."""
    alternating = [
        float(rank) for pair in zip(range(1, count + 1), range(count, 0, -1), strict=True) for rank in pair
    ]
    interval = median_interval(alternating[:count])
    assert interval is not None
    coverage = 1 - 2 * binom.cdf(int(interval.low) - 1, count, 0.5)
    assert coverage >= 0.99
    assert interval.low + interval.high == count + 1


def test_too_few_samples_give_no_interval() -> None:
    assert median_interval([1.0] * 8) is None
    assert median_interval([]) is None


def test_dependence_widens_and_independence_hardly_does() -> None:
    generator = random.Random(3)
    independent = [generator.random() for _ in range(2000)]
    repeated = [value for value in independent[:100] for _ in range(20)]
    assert variance_inflation(independent, 0.5) < 2.5
    assert variance_inflation(repeated, 0.5) > 8
    assert variance_inflation([1.0, 2.0] * 500, 1.5) == 1.0
    assert variance_inflation([1.0] * 1000, 1.0) == 1.0


def heavy_tailed(jitter: float, probability: float, factor: float) -> Durations:
    shift = 1 + jitter * NormalDist().inv_cdf(0.5 / (1 - probability))

    def draw(generator: random.Random) -> Iterator[float]:
        while True:
            tail = factor if generator.random() < probability else 1.0
            yield (1 + jitter * generator.gauss(0, 1)) / shift * tail

    return draw


def pareto(generator: random.Random) -> Iterator[float]:
    while True:
        yield generator.paretovariate(1.5) / 2 ** (1 / 1.5)


def correlated(phi: float, spread: float) -> Durations:
    def draw(generator: random.Random) -> Iterator[float]:
        state = generator.gauss(0, 1)
        while True:
            state = phi * state + math.sqrt(1 - phi * phi) * generator.gauss(0, 1)
            yield math.exp(spread * state)

    return draw


def simulate(draw: Durations, timing: Timing, seed: int) -> Series:
    """A whole measurement on a clock of its own; the true median is 1 ms."""
    now_ns = 0
    durations = draw(random.Random(seed))

    def run() -> None:
        nonlocal now_ns
        now_ns += round(next(durations) * 1e6)

    return sample(run, 1e6, timing, lambda *_: None, lambda: now_ns)


@pytest.mark.parametrize(
    ("draw", "precision", "min_time_s"),
    [
        (heavy_tailed(0.02, 0.02, 10), 0.01, 0.1),
        (heavy_tailed(0.1, 0.02, 10), 0.01, 0.1),
        (heavy_tailed(0.1, 0.02, 10), 0.01, 0.0),
        (pareto, 0.05, 0.1),
        (correlated(0.5, 0.05), 0.01, 0.1),
        (correlated(0.9, 0.05), 0.02, 0.1),
        (correlated(0.97, 0.005), 0.01, 0.1),
        (correlated(0.99, 0.005), 0.01, 0.1),
    ],
    ids=[
        "tail",
        "wide tail",
        "no minimum time",
        "pareto",
        "correlated",
        "strongly correlated",
        "wandering by less than the precision",
        "wandering slowly by less than the precision",
    ],
)
def test_the_interval_covers_the_true_median_despite_early_stopping(
    draw: Durations, precision: float, min_time_s: float
) -> None:
    timing = Timing(precision=precision, min_time_s=min_time_s, max_time_s=3.0)
    ended = [simulate(draw, timing, seed) for seed in range(200)]
    covered = [
        series.interval is not None and series.interval.low <= 1 <= series.interval.high for series in ended
    ]
    assert sum(covered) >= 186
    assert sum(series.ended_by == "precision" for series in ended) > 20, "the stopping rule was not in force"


def test_wandering_by_less_than_the_precision_need_not_be_averaged_out() -> None:
    """Steps of 0.4 % that last 30 ms: no sample is independent of its neighbours, and all are near enough."""

    def draw(generator: random.Random) -> Iterator[float]:
        for level in itertools.cycle((0.998, 1.002)):
            yield from (level * (1 + 0.0005 * generator.gauss(0, 1)) for _ in range(30))

    series = simulate(draw, Timing(precision=0.01, min_time_s=0.1), 0)
    assert series.ended_by == "precision" and series.elapsed_s < 0.2
    assert series.interval is not None
    assert series.interval.low == pytest.approx(0.99 * median(series.samples_ms))
    assert series.interval.high == pytest.approx(1.01 * median(series.samples_ms))
    assert simulate(draw, Timing(precision=0.001), 0).ended_by == "time"


@pytest.mark.parametrize(("phi", "spread"), [(0.98, 0.03), (0.995, 0.1)])
def test_wandering_by_more_than_the_precision_has_no_slack(phi: float, spread: float) -> None:
    timing = Timing(precision=0.01, min_time_s=0.1, max_time_s=1.0)
    ended = [simulate(correlated(phi, spread), timing, seed).ended_by for seed in range(50)]
    assert ended.count("time") >= 43


@given(st.lists(st.floats(0.5, 2.0), min_size=9, max_size=60), st.floats(0, 0.1))
def test_slack_never_promises_more(samples: list[float], slack: float) -> None:
    middle = median(samples)
    interval = median_interval(samples, slack=slack)
    assert interval is None or interval.half_width(middle) >= slack * (1 - 1e-9)


def test_a_run_of_constant_length_stops_at_once_after_the_minimum() -> None:
    series = simulate(lambda _: iter(lambda: 1.0, 0.0), Timing(min_time_s=0.1), 0)
    assert series.ended_by == "precision"
    assert len(series.samples_ms) == 100
    assert series.interval == (1.0, 1.0, 100.0)


def test_time_ends_what_never_gets_precise() -> None:
    series = simulate(heavy_tailed(0.3, 0.1, 10), Timing(precision=1e-4, max_time_s=0.5), 1)
    assert series.ended_by == "time"
    assert 0.5 <= series.elapsed_s < 0.54


def test_slow_calls_end_by_time_without_an_interval() -> None:
    series = simulate(lambda _: iter(lambda: 900.0, 0.0), Timing(max_time_s=2.0), 1)
    assert series.ended_by == "time" and len(series.samples_ms) == 3
    assert series.interval is None


def warm(durations_ms: list[float], timing: Timing) -> WarmUp:
    """A warm-up over these durations, the last one repeated."""
    now_ns = 0
    waiting = list(durations_ms)

    def run() -> None:
        nonlocal now_ns
        now_ns += round((waiting.pop(0) if len(waiting) > 1 else waiting[0]) * 1e6)

    return warm_up(run, timing, lambda *_: None, lambda: now_ns)


def test_warming_up_ends_when_the_median_is_stable() -> None:
    warmed = warm([500.0] + [10.0 - 0.1 * step for step in range(50)] + [5.0], Timing(warmup_s=5.0))
    assert warmed.stable and warmed.call_ns == 5e6 and warmed.elapsed_s < 3.0


def test_warming_up_ends_by_time_when_it_is_not() -> None:
    warmed = warm([100 * 0.97**step for step in range(400)], Timing(warmup_s=0.5))
    assert not warmed.stable and 0.5 <= warmed.elapsed_s < 0.7


def test_without_warm_up_the_first_call_does_not_pass_for_a_typical_one() -> None:
    warmed = warm([500.0, 0.01], Timing(warmup_s=0.0))
    assert warmed.n == 2 and warmed.call_ns == 1e4
    assert block_size(warmed.call_ns) == 5
    assert block_size(1e6) == 1
