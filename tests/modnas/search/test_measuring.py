"""What to measure so that the best architectures under budgets become known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modnas.prediction import DeviceTable, fit_predictor
from modnas.search.measuring import answers, choose, measure_for
from modnas.spaces.nasbench201 import NasBench201

SPACE = NasBench201(channels=16, cells=1, input_shape=(1, 8, 8))


def test_an_answer_is_the_best_measured_candidate_that_keeps_the_budget():
    error, measured = [9.0, 5.0, 7.0, 1.0, 5.0], {0: 1.0, 1: 3.0, 2: 2.0, 4: 2.5}
    assert answers(error, [0.5, 1.0, 2.0, 2.7, 3.0, 9.0], measured) == [None, 0, 2, 4, 4, 4]
    assert answers(error, [1.0], {}) == [None]


def test_without_doubt_the_best_under_each_budget_is_chosen_most_gain_first():
    mean, error = [1.0, 2.0, 3.0, 1.5, 4.0], [20.0, 9.0, 6.0, 30.0, 5.0]
    # The worst error stands for an answer that nobody has: the first budget gains 10, the second 21.
    assert choose(mean, [0.0] * 5, error, [1.0, 2.0], {}, 9) == [1, 0]
    assert choose(mean, [0.0] * 5, error, [1.0, 2.0, 3.0], {0: 1.0}, 9) == [1, 2]
    assert choose(mean, [0.0] * 5, error, [1.0, 2.0, 3.0], {0: 1.0}, 1) == [1]


def test_what_was_measured_counts_and_not_what_was_expected_of_it():
    mean, error = [1.0, 1.0, 1.0], [9.0, 5.0, 7.0]
    slow = {0: 1.0, 1: 3.0}  # the second was expected to keep the budget and does not
    assert choose(mean, [0.1] * 3, error, [1.0], slow, 3) == [2]
    assert choose(mean, [0.1] * 3, error, [1.0], {0: 1.0, 1: 1.0}, 3) == [], "nothing is better"
    assert choose(mean, [0.0] * 3, error, [0.5], {}, 3) == [], "nothing can keep it"


def test_a_small_gain_that_is_safe_or_a_large_one_that_is_doubtful():
    # Both better the answer: the first surely by 1, the second by 2 with a probability of 1/6 or 5/6.
    error, measured = [8.0, 7.0, 10.0], {2: 1.0}
    assert choose([1.0, 3.0, 1.0], [0.1, 1.0, 0.1], error, [2.0], measured, 1) == [0]
    assert choose([1.0, 1.0, 1.0], [0.1, 1.0, 0.1], error, [2.0], measured, 1) == [1]


def test_two_that_are_likely_to_answer_the_same_budget_are_not_both_chosen():
    # 0 and 1 are alike and sure to keep the second budget; 2 does something for the first one.
    mean, deviation = [3.0, 3.0, 1.0, 5.0], [0.01] * 4
    error, budgets = [5.0, 5.0, 9.5, 10.0], [1.5, 4.0]
    assert choose(mean, deviation, error, budgets, {}, 2) == [0, 2]
    # In doubt about the first, the second is worth trying as well.
    assert choose([3.99, 3.99, 1.0, 5.0], [1.0, 1.0, 0.01, 0.01], error, budgets, {}, 2) == [0, 1]


def test_the_worth_of_what_is_chosen_is_the_expected_gain_of_all_together():
    numbers = np.arange(12)
    mean, deviation = 1 + numbers * 7 % 12 / 6, 0.1 + numbers * 5 % 12 / 13
    error, budgets, measured = 20 - numbers - numbers % 3, [1.5, 2.0, 2.5], {0: 1.2, 1: 2.2}
    first, second = choose(mean, deviation, error, budgets, measured, 2)

    values = np.random.default_rng(0).normal(mean, deviation, (20_000, 12))
    known = [min([error[i] for i in measured if measured[i] <= b], default=error.max()) for b in budgets]

    def gain(*chosen: int) -> float:
        total = 0.0
        for budget, best in zip(budgets, known, strict=True):
            got = [np.where(values[:, i] <= budget, error[i], best) for i in chosen]
            total += float((best - np.minimum(best, np.min(got, axis=0))).mean())
        return total

    others = [i for i in range(12) if i not in measured]
    assert gain(first) > max(gain(i) for i in others) - 0.1
    assert gain(first, second) > max(gain(first, i) for i in others if i != first) - 0.1


def test_no_candidates_no_budgets_and_arrays_that_do_not_belong_together():
    assert choose([], [], [], [1.0], {}, 3) == []
    assert choose([1.0], [0.1], [5.0], [], {}, 3) == []
    with pytest.raises(ValueError, match="deviations"):
        choose([1.0, 2.0], [0.1], [5.0, 6.0], [1.0], {}, 1)
    with pytest.raises(ValueError, match="none of the 2"):
        choose([1.0, 2.0], [0.1, 0.1], [5.0, 6.0], [1.0], {7: 1.0}, 1)


def _device(seed: int):
    """A made-up device: architectures -> latency, a price for each operator that is executed."""
    prices = np.random.default_rng(seed).uniform([0.1, 0.5, 1, 0.2], [0.5, 3, 5, 3])

    def latency(cells):
        executed = SPACE.predictor_features(SPACE.encode(cells).double())[:, :24].view(-1, 6, 4)
        return 1 + (executed.sum(1).numpy() @ prices)

    return latency


@pytest.mark.trains
def test_a_device_is_measured_until_its_budgets_are_answered_well():
    cells = [c for c in SPACE.sample(400, torch.Generator().manual_seed(0)) if SPACE.is_usable(c)]
    known = [_device(seed) for seed in range(3)]
    tables = [
        DeviceTable(str(i), one(SPACE.references), cells[:60], one(cells[:60])) for i, one in enumerate(known)
    ]
    predictor = fit_predictor(SPACE, tables)
    latency, asked = _device(9), []
    # Work makes accurate, but by chance as well.
    error = 5 + latency(cells).max() - latency(cells) + np.random.default_rng(0).uniform(-2, 2, len(cells))
    broken = cells[int(error.argmin())]  # the best of all cannot be measured

    def measure(some):
        asked.extend(some)
        return {c: float(v) for c, v in zip(some, latency(some), strict=True) if c != broken}

    budgets = np.quantile(latency(cells), [0.1, 0.3, 0.5, 0.7, 0.9]).tolist()
    errors = dict(zip(cells, error.tolist(), strict=True))
    found = measure_for(budgets, predictor, latency(SPACE.references), errors, measure, count=12)
    assert len(found.architectures) <= 12 and broken not in found.architectures
    assert len(set(asked)) == len(asked) and not {*asked} & {*SPACE.references}
    assert list(found.values) == latency(found.architectures).tolist()

    places = [cells.index(c) for c in found.architectures]
    measured = dict(zip(places, found.values, strict=True))
    got = answers(error, budgets, measured)
    usable = {i: v for i, v in enumerate(latency(cells).tolist()) if cells[i] != broken}
    best = answers(error, budgets, usable)
    assert np.mean([error[i] - error[j] for i, j in zip(got, best, strict=True)]) < 0.5
