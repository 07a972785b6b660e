import itertools

import pytest
import torch

from modnas.search import preferences


def test_samples_are_uniform_on_the_simplex():
    drawn = preferences.sample(20_000, 3, torch.Generator().manual_seed(0))
    assert drawn.shape == (20_000, 3)
    assert drawn.min() >= 0
    torch.testing.assert_close(drawn.sum(1), torch.ones(20_000))
    # Dirichlet(1, 1, 1): mean 1/3, variance 1/18, covariance -1/36.
    torch.testing.assert_close(drawn.mean(0), torch.full((3,), 1 / 3), atol=0.01, rtol=0)
    expected = torch.full((3, 3), -1 / 36) + torch.eye(3) * (1 / 18 + 1 / 36)
    torch.testing.assert_close(torch.cov(drawn.T), expected, atol=0.002, rtol=0)


def test_samples_repeat_with_the_generator():
    first, second = (preferences.sample(5, 2, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_two_objectives_are_equidistant():
    rows = preferences.spread(24, 2)
    expected = torch.tensor([[i / 23, 1 - i / 23] for i in range(24)])
    torch.testing.assert_close(rows, expected)


def test_a_lattice_is_used_where_one_fits():
    expected = [c for c in itertools.product(range(7), repeat=3) if sum(c) == 6]
    rows = preferences.spread(28, 3)
    assert {tuple(row) for row in (rows * 6).round().int().tolist()} == set(expected)


def lattice(divisions, objectives):
    """Das-Dennis points by stars and bars, in the order in which fronts have always been read."""
    places = range(divisions + objectives - 1)
    edges = [(-1, *bars, len(places)) for bars in itertools.combinations(places, objectives - 1)]
    points = [[b - a - 1 for a, b in itertools.pairwise(edge)] for edge in edges]
    return torch.tensor(points, dtype=torch.float64) / divisions


@pytest.mark.parametrize("count", [2, 3, 8, 12, 16, 24, 25, 48, 64, 100, 500])
def test_fronts_of_two_objectives_stay_what_they_were(count):
    first = torch.arange(count, dtype=torch.float64) / (count - 1)
    assert torch.equal(preferences.spread(count, 2), torch.stack([first, 1 - first], 1).float())


@pytest.mark.parametrize(("divisions", "objectives"), [(1, 3), (2, 3), (6, 3), (12, 3), (4, 4), (2, 5)])
def test_fronts_of_more_objectives_stay_what_they_were(divisions, objectives):
    expected = lattice(divisions, objectives)
    assert torch.equal(preferences.spread(len(expected), objectives), expected.float())


@pytest.mark.parametrize(("count", "objectives", "divisions"), [(24, 3, 43), (12, 3, 30), (24, 4, 16)])
def test_what_is_relaxed_begins_with_the_same_points(count, objectives, divisions):
    assert torch.equal(preferences._lattice(40 * count, objectives), lattice(divisions, objectives))


@pytest.mark.parametrize(("count", "objectives"), [(24, 3), (17, 3), (24, 4)])
def test_any_count_is_spread_evenly(count, objectives):
    rows = preferences.spread(count, objectives).double()
    assert rows.shape == (count, objectives)
    torch.testing.assert_close(rows.sum(1), torch.ones(count, dtype=torch.float64))
    assert rows.min() >= 0
    for corner in torch.eye(objectives, dtype=torch.float64):
        assert (rows - corner).abs().sum(1).min() < 1e-6
    distances = torch.cdist(rows, rows) + 10 * torch.eye(count)
    nearest = distances.amin(1)
    # Uniform random points would have a ratio far above this.
    assert nearest.max() / nearest.min() < 2
    assert torch.equal(rows, preferences.spread(count, objectives).double())


def test_too_few_points_or_objectives_are_refused():
    for count, objectives in [(1, 2), (2, 3), (5, 1)]:
        with pytest.raises(ValueError, match="cannot span"):
            preferences.spread(count, objectives)
