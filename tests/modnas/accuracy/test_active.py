"""Which architectures are evaluated: those near the fronts, within the budget, none twice."""

from __future__ import annotations

import numpy as np
import pytest

from modnas.accuracy.active import evaluate_actively, promising
from modnas.spaces.nasbench201 import NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201()
CELLS = [SPACE.at(i) for i in range(2000)]
POSITION = {cell: i for i, cell in enumerate(CELLS)}


def problem(seed=0):
    """Costs on two devices that disagree, (2, n), and errors, (n,), which fall as either's cost rises, with
    much spread above a clear front.
    """
    draw = np.random.default_rng(seed)
    cost = draw.uniform(size=(2, len(CELLS)))
    return cost, 100 * (1 - cost.mean(0)) ** 2 * draw.uniform(1, 3, size=len(CELLS)) + 1


COST, ERROR = problem()


def run(budget=120, start=40, rounds=4, *, seed=0, fit=None, made=(COST, ERROR)):
    asked, (cost, error) = [], made

    def evaluate(cells):
        asked.extend(cells)
        return error[[POSITION[c] for c in cells]]

    found = evaluate_actively(
        CELLS,
        [cost[0][:, None], cost[1][:, None]],
        evaluate,
        fit or (lambda cells, errors: error + np.random.default_rng(1).normal(0, 2, len(error))),
        budget=budget,
        start=start,
        rounds=rounds,
        seed=seed,
    )
    return found, asked


def front_members(cost, error):
    points = np.column_stack([error, cost])
    dominated = [
        bool(((points <= p).all(1) & (points < p).any(1)).any()) for p in points
    ]  # by the definition
    return {CELLS[i] for i, is_dominated in enumerate(dominated) if not is_dominated}


def test_finds_the_fronts_that_a_random_choice_misses():
    """With 150 evaluations of 2,000; shares of the fronts' members, on the average over problems."""
    active, at_random = [], []
    for seed in range(4):
        made = problem(seed)
        wanted = front_members(made[0][0], made[1]) | front_members(made[0][1], made[1])
        assert len(wanted) > 20
        active.append(len(wanted & set(run(150, made=made)[0])) / len(wanted))
        at_random.append(len(wanted & set(run(150, start=150, rounds=0, made=made)[0])) / len(wanted))
    assert np.mean(active) > 0.6
    assert np.mean(at_random) < 0.2


def test_spends_exactly_the_budget_and_repeats_by_seed():
    found, asked = run(budget=97, start=30, rounds=5)
    assert found == asked
    assert len(set(found)) == 97
    assert run(budget=97, start=30, rounds=5)[0] == found
    assert run(budget=97, start=30, rounds=5, seed=1)[0] != found


def test_the_model_is_fitted_on_everything_evaluated_so_far():
    sizes = []

    def fit(cells, errors):
        assert np.array_equal(errors, ERROR[[POSITION[c] for c in cells]])
        sizes.append(len(cells))
        return ERROR

    run(budget=100, start=40, rounds=3, fit=fit)
    assert sizes == [40, 60, 80]


def test_known_rows_dominate_but_are_not_chosen():
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    draw = np.random.default_rng(0)
    assert promising([points], np.array([0]), 2, draw).tolist() == [1, 2]
    two = [points, points[::-1].copy()]
    assert sorted(promising(two, np.array([], dtype=np.int64), 2, draw).tolist()) == [0, 3]


@pytest.mark.parametrize(("budget", "start", "rounds"), [(2001, 10, 1), (10, 11, 1), (10, 0, 1), (10, 8, 3)])
def test_impossible_budgets(budget, start, rounds):
    with pytest.raises(ValueError, match="cannot be spent"):
        run(budget, start, rounds)
