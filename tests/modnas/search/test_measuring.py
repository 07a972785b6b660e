"""What to measure so that the best architectures under budgets become known."""

from __future__ import annotations

import numpy as np
import pytest

from modnas.search.measuring import answers, choose


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
    draw = np.random.default_rng(0)
    mean, deviation = draw.uniform(1, 3, 12), draw.uniform(0.1, 1, 12)
    error, budgets, measured = draw.uniform(5, 20, 12), [1.5, 2.0, 2.5], {0: 1.2, 1: 2.2}
    first, second = choose(mean, deviation, error, budgets, measured, 2)

    values = draw.normal(mean, deviation, (20_000, 12))
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
