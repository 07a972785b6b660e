"""Measures of predictions, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from modnas.prediction.metrics import hit_rate, kendall, mean_relative_error, spearman


def test_rank_correlations():
    true = [1.0, 2.0, 3.0, 4.0]
    assert spearman([10, 20, 30, 40], true) == pytest.approx(1)
    assert spearman([4, 3, 2, 1], true) == pytest.approx(-1)
    assert spearman([2, 1, 3, 4], true) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert kendall([2, 1, 3, 4], true) == pytest.approx((5 - 1) / 6)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_a_constant_has_no_rank_correlation():
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_relative_measures():
    true = [10.0, 10.0, 10.0, 100.0]
    predicted = [10.5, 12.0, 9.5, 105.0]
    assert hit_rate(predicted, true, 0.1) == 0.75
    assert hit_rate(predicted, true, 0.01) == 0
    assert mean_relative_error(predicted, true) == pytest.approx((0.05 + 0.2 + 0.05 + 0.05) / 4)


@pytest.mark.parametrize("measure", [spearman, kendall, hit_rate, mean_relative_error])
@pytest.mark.parametrize(("predicted", "true"), [([1, 2], [1, 2, 3]), ([1], [1]), ([[1, 2]], [[1, 2]])])
def test_shapes_are_checked(measure, predicted, true):
    with pytest.raises(ValueError, match="one length"):
        measure(predicted, true)


@pytest.mark.parametrize("measure", [hit_rate, mean_relative_error])
def test_relative_measures_need_positive_values(measure):
    with pytest.raises(ValueError, match="above 0"):
        measure([1, 2], [0, 1])
