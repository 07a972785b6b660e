"""Comparing what was found with what was drawn at random."""

from __future__ import annotations

from typing import Any

import pytest

from harness.runs.verify import compare_hypervolumes, random_architectures
from harness.store.metrics import LATENCY
from modnas.core.metric import Metric
from modnas.spaces import Space

Points = list[tuple[float | None, ...]]


def entries(points: Points) -> list[dict[str, Any]]:
    return [{"measured": {"error": error, "latency_ms": latency}} for error, latency in points]


def volumes(front: Points, randoms: Points, chance: float = 90.0) -> tuple[float, float]:
    found = compare_hypervolumes(entries(front), entries(randoms), [LATENCY], chance)
    return found["front"], found["random"]


# Both sets together span error 10 to 50 and latency 1 to 5, so (20, 2) lies at (0.25, 0.25).
@pytest.mark.parametrize(
    ("front", "randoms", "expected"),
    [
        # (0, 1) and (1, 0) lie on the reference's edges and add nothing; (1/4, 1/4) dominates (3/4)^2.
        ([(20.0, 2.0), (10.0, 5.0), (50.0, 1.0)], [(30.0, 3.0)], (0.5625, 0.25)),
        # (0, 0.5) and (0.5, 0): 0.5 + 0.5 - 0.25.
        ([(10.0, 3.0), (30.0, 1.0)], [(50.0, 5.0)], (0.75, 0.0)),
        # The best of everything is the corner of the unit square.
        ([(10.0, 1.0)], [(50.0, 5.0)], (1.0, 0.0)),
        # Dominated points change nothing but the scale.
        ([(10.0, 1.0), (40.0, 4.0)], [(50.0, 5.0), (30.0, 3.0)], (1.0, 0.25)),
        ([], [], (0.0, 0.0)),
        # One set alone; its extremes are on the edges.
        ([(10.0, 5.0), (50.0, 1.0)], [], (0.0, 0.0)),
        # All latencies equal: that objective has no width and counts as 0 for all.
        ([(10.0, 2.0)], [(20.0, 2.0), (15.0, 2.0)], (1.0, 0.5)),
    ],
)
def test_hypervolumes_by_hand(front: Points, randoms: Points, expected: tuple[float, float]) -> None:
    assert volumes(front, randoms) == pytest.approx(expected)


def test_guessing_and_failed_networks_do_not_count() -> None:
    plain = volumes([(20.0, 2.0), (10.0, 5.0), (50.0, 1.0)], [(30.0, 3.0)])
    spoiled = volumes(
        [(20.0, 2.0), (10.0, 5.0), (50.0, 1.0), (90.0, 0.01)], [(30.0, 3.0), (95.0, 100.0), (5.0, None)]
    )
    assert spoiled == plain


def test_scale_and_units_do_not_matter() -> None:
    front, randoms = [(20.0, 2.0), (12.0, 5.0)], [(30.0, 3.0), (50.0, 1.0)]
    scaled = [[(e, 1000 * (t or 0)) for e, t in points] for points in (front, randoms)]
    assert volumes(scaled[0], scaled[1]) == pytest.approx(volumes(front, randoms))


def test_random_set_is_fixed_distinct_and_usable(space: Space) -> None:
    drawn = random_architectures(space, 12, 3)
    assert drawn == random_architectures(space, 12, 3) != random_architectures(space, 12, 4)
    assert len(set(drawn)) == 12 and all(map(space.is_usable, drawn))


def test_of_a_maximised_metric_more_is_better() -> None:
    throughput = Metric("throughput", "Hz", LATENCY.read, sense="maximise")

    def measured(*points: tuple[float, float]) -> list[dict[str, Any]]:
        return [{"measured": {"error": error, "throughput_hz": value}} for error, value in points]

    found = compare_hypervolumes(measured((10.0, 5.0)), measured((50.0, 1.0)), [throughput], 90.0)
    assert found == {"front": 1.0, "random": 0.0}
