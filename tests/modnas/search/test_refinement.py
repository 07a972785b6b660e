"""Refining fronts: Pareto local search and a choice for each preference; descents and the largest volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modnas.search import preferences
from modnas.search.front import FrontPoint
from modnas.search.indicators import hypervolume
from modnas.search.refinement import choose, descend, local_search, select
from modnas.spaces.nasbench201.space import CONV1, CONV3, POOL, NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201()
START = SPACE.parse("|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|")


def convolutions(architectures):
    """Error falls with the 3x3 and 1x1 convolutions, cost rises; the sum of both is the same for all."""
    weight = {CONV3: 2.0, CONV1: 1.0}
    size = np.array([[sum(weight.get(c, 0.0) for c in a.choices)] for a in architectures])
    return np.hstack([12 - size, size])


def test_finds_the_whole_front_of_a_separable_problem():
    found, values = local_search(SPACE, [START], convolutions, budget=5000)
    assert sorted(set(values[:, 0])) == list(range(13))
    assert np.array_equal(values, convolutions(found))


def test_keeps_nothing_dominated_and_never_loses_the_start_for_worse():
    target = torch.Generator().manual_seed(0)
    weights = torch.rand(SPACE.width, 2, generator=target).double().numpy()

    def score(architectures):
        return SPACE.encode(architectures).double().numpy() @ weights

    begun = score([START])[0]
    _, values = local_search(SPACE, [START], score, budget=300)
    assert (values <= begun).all(1).any()
    for v in values:
        assert not ((values <= v).all(1) & (values < v).any(1)).any()


def test_budget_counts_what_is_scored():
    scored = []

    def score(architectures):
        scored.extend(architectures)
        return convolutions(architectures)

    local_search(SPACE, [START], score, budget=0)
    assert scored == [START]
    local_search(SPACE, [START], score, budget=100)
    assert len(scored) == len({a.string for a in scored}) + 1, "nothing twice but the start of both calls"
    assert 100 <= len(scored) - 2 < 100 + 15 * 5**2


def test_same_arguments_same_result():
    one, two = (local_search(SPACE, [START], convolutions, budget=200)[0] for _ in range(2))
    assert one == two


def test_choice_reaches_a_concave_front_and_its_ends():
    cells = [SPACE.at(i) for i in range(5)]
    # Every inner point lies above the line between the ends: no weighted sum would choose it.
    values = np.array([[0.0, 10.0], [4.0, 9.0], [7.0, 7.0], [9.0, 4.0], [10.0, 0.0]])
    chosen = [point.architecture for point in choose(cells, values, preferences.spread(24, 2))]
    assert set(chosen) == set(cells)
    assert chosen[0] == cells[4] and chosen[-1] == cells[0], "preference 1 is the first objective's"


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_choice_does_not_depend_on_units(scale):
    cells = [SPACE.at(i) for i in range(4)]
    values = np.array([[1.0, 8.0], [2.0, 5.0], [4.0, 3.0], [9.0, 1.0]])
    rows = preferences.spread(9, 2)
    assert choose(cells, values * [1.0, scale], rows) == choose(cells, values, rows)


def test_one_point_is_every_choice():
    points = choose([START], np.array([[3.0, 2.0]]), preferences.spread(3, 2))
    assert [p.architecture for p in points] == [START] * 3


def saturating(architectures):
    """Error falls ever more slowly with the operators, cost is their sum; both about 0 to 1."""
    gain, cost = {CONV3: 1.0, CONV1: 0.6, POOL: 0.2}, {CONV3: 1.0, CONV1: 0.5, POOL: 0.4}
    both = [[sum(d.get(c, 0.0) for c in a.choices) for d in (gain, cost)] for a in architectures]
    gains, costs = np.array(both).T
    return np.stack([np.exp(-0.5 * gains), costs / 6], 1)


def test_descents_and_selection_find_nearly_the_largest_volume():
    starts = SPACE.sample(6, torch.Generator().manual_seed(0))
    rows = preferences.spread(6, 2).tolist()
    points = [FrontPoint(tuple(r), a) for r, a in zip(rows, starts, strict=True)]
    found, values = descend(SPACE, points, saturating)
    architectures = [point.architecture for point in found]
    assert len(set(architectures)) == len(found)
    assert np.array_equal(values, saturating(architectures))
    assert {point.preference for point in found} == {point.preference for point in points}
    everything = saturating([c for c in SPACE.all() if SPACE.is_usable(c)])
    assert hypervolume(saturating(starts)) < 0.9 * hypervolume(everything)
    assert hypervolume(values[select(values, 8)]) > 0.99 * hypervolume(everything[select(everything, 8)])


def test_a_descent_without_rounds_is_its_start():
    point = FrontPoint((0.5, 0.5), START)
    assert descend(SPACE, [point], saturating, rounds=0)[0] == [point]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30), st.integers(1, 10))
def test_selection_is_small_and_nondominated(points, count):
    values = np.array(points)
    chosen = select(values, count)
    assert 1 <= len(chosen) <= count
    rest = values[chosen]
    assert not any((a <= b).all() and (a < b).any() for a in values for b in rest)
    if count >= len(np.unique(values, axis=0)):
        assert hypervolume(rest) == pytest.approx(hypervolume(values))
