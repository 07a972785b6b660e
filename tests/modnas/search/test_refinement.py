"""Refining fronts: descents, the largest volume, and the preference that each point answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modnas.search import preferences
from modnas.search.front import FrontPoint
from modnas.search.indicators import hypervolume
from modnas.search.refinement import answered, descend, refine, select
from modnas.spaces.nasbench201.space import CONV1, CONV3, POOL, NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201()
START = SPACE.parse("|skip_connect~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|")


def convolutions(architectures):
    """Error falls with the 3x3 and 1x1 convolutions, cost rises; the sum of both is the same for all."""
    weight = {CONV3: 2.0, CONV1: 1.0}
    size = np.array([[sum(weight.get(c, 0.0) for c in a.choices)] for a in architectures])
    return np.hstack([12 - size, size])


def points(count, seed=0, objectives=2):
    """Where descents begin: random cells, evenly spread preferences."""
    starts = SPACE.sample(count, torch.Generator().manual_seed(seed))
    rows = preferences.spread(count, objectives).tolist()
    return [FrontPoint(tuple(row), start) for row, start in zip(rows, starts, strict=True)]


def test_finds_the_whole_front_of_a_separable_problem():
    front = refine(SPACE, points(6), convolutions, 100)
    values = convolutions([point.architecture for point in front])
    assert sorted(set(values[:, 0])) == list(range(13))
    assert values[0, 0] == 12 and values[-1, 0] == 0, "the best in the first objective is last"


def test_keeps_nothing_dominated_and_never_loses_the_start_for_worse():
    weights = torch.rand(SPACE.width, 2, generator=torch.Generator().manual_seed(0)).double().numpy() / 6

    def score(architectures):
        return SPACE.encode(architectures).double().numpy() @ weights

    start = FrontPoint((0.5, 0.5), START)
    values = score([point.architecture for point in refine(SPACE, [start], score, 50, budget=300)])
    assert (values <= score([START])[0]).all(1).any()
    for v in values:
        assert not ((values <= v).all(1) & (values < v).any(1)).any()


def test_budget_counts_what_is_scored_beside_the_start_and_reaches_all_of_the_front():
    scored, begun = [], points(8)

    def score(architectures):
        scored.extend(architectures)
        return saturating(architectures)

    assert descend(SPACE, begun, score, budget=0)[0] == scored == [point.architecture for point in begun]
    scored.clear()
    descend(SPACE, begun, score, budget=60)
    assert len(set(scored)) == len(scored), "nothing twice"
    assert 60 <= len(scored) - 8 < 60 + 4 * 6
    near = [set(SPACE.variations(point.architecture)) & set(scored[8:]) for point in begun]
    whole = [len(a) > 20 for a in near]
    assert whole[0] and any(whole[4:]), "turns do not go from one end of the front to the other"


def test_same_arguments_same_result():
    one, two = (refine(SPACE, points(5), saturating, 10, budget=200) for _ in range(2))
    assert one == two


def test_plainest_form_unless_values_belong_to_another():
    plain = refine(SPACE, points(6), saturating, 12)
    assert all(SPACE.simplified(point.architecture) == point.architecture for point in plain)
    found, _ = descend(SPACE, points(6), saturating)
    assert any(SPACE.simplified(cell) != cell for cell in found)


def test_others_are_chosen_where_they_are_better():
    best = SPACE.architecture([CONV3] * 6)
    start = [FrontPoint((0.5, 0.5), START)]
    assert best not in [p.architecture for p in refine(SPACE, start, convolutions, 50, budget=0)]
    front = refine(SPACE, start, convolutions, 50, budget=0, others=[best, START])
    assert [p.architecture for p in front][-1] == best


def test_every_point_of_a_front_answers_its_preference():
    # Every inner point lies above the line between the ends: no weighted sum would choose it.
    values = np.array([[0.0, 10.0], [4.0, 9.0], [7.0, 7.0], [9.0, 4.0], [10.0, 0.0]])
    for scale in (1e-3, 1.0, 1e3):
        given = answered(values * [1.0, scale])
        assert given == pytest.approx(answered(values)), "whatever the units"
        assert given.sum(1) == pytest.approx(1)
        for number, weights in enumerate(given):
            assert int((values / 10 * weights).max(1).argmin()) == number
    assert given[0] == pytest.approx([1, 0], abs=1e-6), "preference 1 is the first objective's"
    assert given[-1] == pytest.approx([0, 1], abs=1e-6)


def test_one_point_is_the_whole_front():
    front = refine(SPACE, [FrontPoint((0.5, 0.5), START)] * 3, convolutions, 3, budget=0)
    assert [point.architecture for point in front] == [START]
    assert front[0].preference == (0.5, 0.5)


def saturating(architectures):
    """Error falls ever more slowly with the operators, cost is their sum; both about 0 to 1."""
    gain, cost = {CONV3: 1.0, CONV1: 0.6, POOL: 0.2}, {CONV3: 1.0, CONV1: 0.5, POOL: 0.4}
    both = [[sum(d.get(c, 0.0) for c in a.choices) for d in (gain, cost)] for a in architectures]
    gains, costs = np.array(both).T
    return np.stack([np.exp(-0.5 * gains), costs / 6], 1)


def test_descents_and_selection_find_nearly_the_largest_volume():
    begun = points(6)
    found, values = descend(SPACE, begun, saturating)
    assert len(set(found)) == len(found)
    assert np.array_equal(values, saturating(found))
    starts = [point.architecture for point in begun]
    everything = saturating([c for c in SPACE.all() if SPACE.is_usable(c)])
    assert hypervolume(saturating(starts)) < 0.9 * hypervolume(everything)
    assert hypervolume(values[select(values, 8)]) > 0.99 * hypervolume(everything[select(everything, 8)])


def test_a_descent_without_rounds_is_its_start():
    point = FrontPoint((0.5, 0.5), START)
    assert descend(SPACE, [point], saturating, rounds=0)[0] == [START]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30), st.integers(1, 10))
def test_selection_is_small_and_nondominated(rows, count):
    values = np.array(rows)
    chosen = select(values, count)
    assert 1 <= len(chosen) <= count
    rest = values[chosen]
    assert not any((a <= b).all() and (a < b).any() for a in values for b in rest)
    if count >= len(np.unique(values, axis=0)):
        assert hypervolume(rest) == pytest.approx(hypervolume(values))
