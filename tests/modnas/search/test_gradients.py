import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from modnas.search import gradients


def random_gram(kind, count, seed):
    draw = np.random.default_rng(seed)
    if kind == "generic":
        rows = draw.normal(size=(count, 3 * count))
    elif kind == "low rank":  # more gradients than dimensions
        rows = draw.normal(size=(count, max(2, count // 3))) + 1.0
    elif kind == "aligned":  # nearly one direction, sizes far apart
        rows = np.outer(10.0 ** draw.uniform(-2, 2, count), np.ones(40)) + 1e-3 * draw.normal(
            size=(count, 40)
        )
    else:  # duplicates and an all-zero Gram direction
        rows = draw.normal(size=(count, 10))
        rows[count // 2 :] = rows[: count - count // 2]
    return rows @ rows.T


def quadratic_program(gram):
    """Least value of w' G w on the simplex, by a solver for any smooth program."""
    count, size = len(gram), np.abs(gram).max()
    solved = minimize(
        lambda w: w @ gram @ w / size,
        np.full(count, 1 / count),
        jac=lambda w: 2 * gram @ w / size,
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    ).x
    weights = np.clip(solved, 0, None) / np.clip(solved, 0, None).sum()
    return float(weights @ gram @ weights)


@pytest.mark.parametrize("kind", ["generic", "low rank", "aligned", "duplicates"])
@pytest.mark.parametrize("count", [2, 3, 5, 13, 20])
@pytest.mark.parametrize("seed", range(4))
def test_min_norm_weights_solve_the_quadratic_program(kind, count, seed):
    gram = random_gram(kind, count, seed)
    weights = gradients.min_norm_weights(torch.from_numpy(gram)).numpy()
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    value, best = float(weights @ gram @ weights), quadratic_program(gram)
    assert value <= best * (1 + 1e-6) + 1e-12 * np.abs(gram).max()


def test_a_thousand_min_norm_points_are_those_of_the_quadratic_program():
    """2 to 20 gradients, degenerate ones included. A point of the hull is its shortest exactly where no
    gradient's product with it is less than its own square (the program's optimality condition)."""
    kinds = ("generic", "low rank", "aligned", "duplicates", "equal", "one is zero")
    for number in range(1000):
        kind, count = kinds[number % len(kinds)], 2 + number % 19
        draw = np.random.default_rng(number)
        rows = draw.normal(size=(count, 12)) + draw.uniform(0, 2)
        if kind == "low rank":
            rows = draw.normal(size=(count, 2)) @ draw.normal(size=(2, 12)) + 1
        elif kind == "aligned":
            rows = np.outer(draw.uniform(0.5, 2, count), np.ones(12)) + 1e-2 * rows
        elif kind == "duplicates":
            rows[count // 2 :] = rows[: count - count // 2]
        elif kind == "equal":
            rows[:] = rows[0]
        elif kind == "one is zero":
            rows[-1] = 0
        rows /= np.linalg.norm(rows, axis=1).max()
        weights = gradients.min_norm_weights(torch.from_numpy(rows @ rows.T)).numpy()
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1)
        point = weights @ rows
        assert (rows @ point).min() >= point @ point - 1e-9, kind


def test_known_solutions():
    identity = torch.eye(4)
    torch.testing.assert_close(gradients.min_norm_weights(identity), torch.full((4,), 0.25))
    assert gradients.min_norm_weights(torch.tensor([[3.0]])).tolist() == [1.0]
    # Orthogonal gradients of norms 1 and 2: weights inverse to the squared norms.
    torch.testing.assert_close(
        gradients.min_norm_weights(torch.diag(torch.tensor([1.0, 4.0]))), torch.tensor([0.8, 0.2])
    )
    # The longer gradient along the same direction gets nothing.
    assert gradients.min_norm_weights(torch.tensor([[1.0, 2.0], [2.0, 4.0]])).tolist() == [1.0, 0.0]
    same = gradients.min_norm_weights(torch.ones(3, 3))
    assert float(same.sum()) == pytest.approx(1)
    assert gradients.min_norm_weights(torch.zeros(3, 3)).tolist() == pytest.approx([1 / 3] * 3)


def test_mgd_descends_on_every_device():
    rows = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)).double() + 0.2
    direction, weights = gradients.combine(rows, "mgd")
    unit = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(direction, weights @ unit)
    slopes = unit @ direction
    assert slopes.min() >= float(direction @ direction) - 1e-9
    mean, _ = gradients.combine(rows, "mean")
    assert direction.norm() <= mean.norm()


def test_normalisation_keeps_large_losses_from_winning():
    rows = torch.tensor([[1000.0, 0.0], [0.0, 1.0]])
    direction, _ = gradients.combine(rows, "mean")
    torch.testing.assert_close(direction, torch.tensor([0.5, 0.5]))
    direction, _ = gradients.combine(rows, "mean", normalize=False)
    torch.testing.assert_close(direction, torch.tensor([500.0, 0.5]))
    direction, _ = gradients.combine(torch.tensor([[0.0, 0.0], [0.0, 3.0]]), "mean")
    torch.testing.assert_close(direction, torch.tensor([0.0, 0.5]))


def test_device_groups():
    generator = torch.Generator().manual_seed(0)
    assert gradients.device_groups("mgd", 3, generator) == [[0, 1, 2]]
    assert gradients.device_groups("mean", 3, generator) == [[0, 1, 2]]
    assert gradients.device_groups("sequential", 3, generator) == [[0], [1], [2]]
    drawn = [gradients.device_groups("sample", 3, generator) for _ in range(300)]
    counts = [drawn.count([[t]]) for t in range(3)]
    assert sum(counts) == 300
    assert min(counts) > 70
    with pytest.raises(ValueError, match="none of mgd"):
        gradients.device_groups("pcgrad", 3, generator)
