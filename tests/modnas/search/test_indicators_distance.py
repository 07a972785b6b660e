"""Indicators of random sets beside pymoo's, and the sense of the plus distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.indicators.gd import GD
from pymoo.indicators.gd_plus import GDPlus
from pymoo.indicators.hv import HV
from pymoo.indicators.igd import IGD
from pymoo.indicators.igd_plus import IGDPlus

from modnas.search import indicators

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 30)


@given(seeds, st.integers(2, 4), sizes, sizes, st.booleans())
def test_all_indicators_agree_with_pymoo(seed, objectives, n, m, rounded):
    draw = np.random.default_rng(seed)
    points, reference = draw.uniform(0, 1.2, (n, objectives)), draw.uniform(0, 1, (m, objectives))
    if rounded:  # ties and equal points
        points, reference = points.round(1), reference.round(1)
    close = {"rel": 1e-9, "abs": 1e-12}
    assert indicators.gd(points, reference) == pytest.approx(GD(reference).do(points), **close)
    assert indicators.igd(points, reference) == pytest.approx(IGD(reference).do(points), **close)
    assert indicators.gd_plus(points, reference) == pytest.approx(GDPlus(reference).do(points), **close)
    assert indicators.igd_plus(points, reference) == pytest.approx(IGDPlus(reference).do(points), **close)
    assert indicators.hypervolume(points) == pytest.approx(HV(np.ones(objectives)).do(points), **close)


@given(seeds, sizes)
def test_distances_of_a_set_to_itself_are_zero_and_plus_is_never_more(seed, n):
    draw = np.random.default_rng(seed)
    points, reference = draw.uniform(size=(n, 3)), draw.uniform(size=(n, 3))
    for plain, plus in (
        (indicators.gd, indicators.gd_plus),
        (indicators.igd, indicators.igd_plus),
    ):
        assert plain(points, points) == plus(points, points) == 0
        assert plus(points, reference) <= plain(points, reference) + 1e-12
    # Better everywhere: nothing is worse than the reference, which does not see itself reached though.
    assert indicators.gd_plus(reference - 1, reference) == indicators.igd_plus(reference - 1, reference) == 0


def test_gd_averages_over_the_points_and_igd_over_the_reference():
    points, reference = [[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]]
    assert indicators.gd(points, reference) == pytest.approx(2.5)
    assert indicators.igd(points, reference) == 0
    assert indicators.igd_plus(reference, points) == 0
    assert indicators.gd_plus(points, reference) == pytest.approx(2.5)
