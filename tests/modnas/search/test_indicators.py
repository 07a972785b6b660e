import numpy as np
import pytest
from pymoo.indicators.gd import GD
from pymoo.indicators.gd_plus import GDPlus
from pymoo.indicators.hv import HV
from pymoo.indicators.igd import IGD
from pymoo.indicators.igd_plus import IGDPlus

from modnas.search import indicators


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_indicators_agree_with_pymoo(objectives, seed):
    draw = np.random.default_rng(seed)
    points, reference = draw.uniform(0, 1.1, (15, objectives)), draw.uniform(0, 1, (9, objectives))
    assert indicators.hypervolume(points) == pytest.approx(HV(np.ones(objectives)).do(points))
    assert indicators.gd(points, reference) == pytest.approx(GD(reference).do(points))
    assert indicators.igd(points, reference) == pytest.approx(IGD(reference).do(points))
    assert indicators.gd_plus(points, reference) == pytest.approx(GDPlus(reference).do(points))
    assert indicators.igd_plus(points, reference) == pytest.approx(IGDPlus(reference).do(points))


def test_hypervolume_by_hand():
    assert indicators.hypervolume([[0.5, 0.5]]) == pytest.approx(0.25)
    assert indicators.hypervolume([[0.2, 0.6], [0.6, 0.2]]) == pytest.approx(0.32 + 0.32 - 0.16)
    assert indicators.hypervolume([[0.0, 1.5], [1.0, 0.0]]) == 0
    assert indicators.hypervolume([]) == 0
    assert indicators.hypervolume([[1.0, 1.0]], reference=[2.0, 3.0]) == pytest.approx(2)


def test_plus_variants_ignore_what_is_better():
    assert indicators.gd([[0.0, 0.0]], [[1.0, 1.0]]) == pytest.approx(2**0.5)
    assert indicators.gd_plus([[0.0, 0.0]], [[1.0, 1.0]]) == 0
    assert indicators.igd_plus([[0.0, 0.0]], [[1.0, 1.0]]) == 0


def test_distances_need_points():
    for pair in ([], [[0.0, 0.0]]), ([[0.0, 0.0]], []):
        with pytest.raises(ValueError, match="at least one point"):
            indicators.gd(*pair)


def test_non_dominated_keeps_equal_points_and_drops_weakly_worse_ones():
    points = [[1, 2], [2, 1], [1, 2], [2, 2], [1, 3], [3, 3]]
    assert indicators.non_dominated(points).tolist() == [True, True, True, False, False, False]
    assert indicators.non_dominated(np.zeros((0, 2))).tolist() == []


def test_scale_maps_the_bounds_to_zero_and_one():
    scaled = indicators.scale([[10, 1], [20, 1], [40, 1]], [10, 1], [30, 1])
    np.testing.assert_allclose(scaled, [[0, 0], [0.5, 0], [1.5, 0]])
