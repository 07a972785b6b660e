import pytest
import torch
from reinmax import reinmax as published_reinmax

from modnas.search import estimators

RAGGED = (3, 3, 5, 2, 2, 7)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def logits(rows, width, seed=0):
    return (2 * torch.randn(rows, width, generator=generator(seed))).requires_grad_()


@pytest.mark.parametrize("temperature", [1.0, 1.3, 3.0])
def test_reinmax_agrees_with_the_published_implementation(temperature):
    ours, theirs = logits(200, 5), logits(200, 5)
    torch.manual_seed(7)
    expected, _ = published_reinmax(theirs, temperature)
    found = estimators.reinmax(ours, temperature, generator(7))
    assert torch.equal(found.round(), expected)
    weights = torch.randn(200, 5, generator=generator(2))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    assert ours.grad.abs().max() > 0.1


@pytest.mark.parametrize("estimator", ["reinmax", "gdas"])
def test_samples_are_one_hot_and_follow_the_distribution(estimator):
    row = logits(1, sum(RAGGED), seed=1)
    drawn = estimators.sample(row.expand(20_000, -1), RAGGED, generator(), estimator).detach()
    for part, expected in zip(drawn.split(RAGGED, 1), row.split(RAGGED, 1), strict=True):
        torch.testing.assert_close(part.amax(1), torch.ones(20_000))
        torch.testing.assert_close(part.sum(1), torch.ones(20_000))
        torch.testing.assert_close(part.mean(0), expected[0].softmax(0), atol=0.02, rtol=0)


def test_reinmax_gradient_is_exact_for_a_quadratic():
    """Second order: unbiased for quadratic functions, which plain straight-through is not."""
    torch.manual_seed(0)
    theta = torch.randn(3, requires_grad=True)
    matrix = torch.randn(3, 3)
    exact = sum(p * matrix[i, i] for i, p in enumerate(theta.softmax(0)))
    (expected,) = torch.autograd.grad(exact, theta)
    drawn = estimators.sample(theta.expand(200_000, 3), (3,), generator(), "reinmax", 1.0)
    (found,) = torch.autograd.grad(torch.einsum("ni,ij,nj->n", drawn, matrix, drawn).mean(), theta)
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


def test_gdas_gradient_is_that_of_the_relaxed_choice():
    theta = logits(50, 4)
    weights = torch.randn(50, 4, generator=generator(1))
    noise = torch.empty(50, 4).exponential_(generator=generator(5))
    relaxed = ((theta - noise.log()) / 0.5).softmax(1)
    (expected,) = torch.autograd.grad((relaxed * weights).sum(), theta)
    drawn = estimators.sample(theta, (4,), generator(5), "gdas", 0.5)
    assert torch.equal(drawn.argmax(1), relaxed.argmax(1))
    (found,) = torch.autograd.grad((drawn * weights).sum(), theta)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("estimator", ["reinmax", "gdas"])
def test_every_decision_gets_a_gradient_and_none_for_a_common_shift(estimator):
    theta = logits(4, sum(RAGGED))
    weights = torch.randn(4, sum(RAGGED), generator=generator(3))
    (estimators.sample(theta, RAGGED, generator(), estimator) * weights).sum().backward()
    for part in theta.grad.split(RAGGED, 1):
        assert (part.abs().sum(1) > 0).all()
        torch.testing.assert_close(part.sum(1), torch.zeros(4), atol=1e-5, rtol=0)


def test_extreme_logits_stay_finite():
    theta = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    estimators.sample(theta, (3,), generator(), "reinmax").square().sum().backward()
    assert theta.grad.isfinite().all()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="none of reinmax, gdas"):
        estimators.sample(logits(1, 3), (3,), generator(), "darts")
    with pytest.raises(ValueError, match="positive"):
        estimators.sample(logits(1, 3), (3,), generator(), "gdas", 0.0)


def test_entropy_is_relative_to_the_uniform_choice():
    assert estimators.entropy(torch.zeros(2, 8), (5, 3)).tolist() == pytest.approx([1, 1])
    sure = torch.tensor([[50.0, 0, 0, 0, 0]])
    assert float(estimators.entropy(sure, (4, 1))) == pytest.approx(0, abs=1e-6)
    half = torch.tensor([[0.0, 0.0, -100.0, -100.0]])
    assert float(estimators.entropy(half, (4,))) == pytest.approx(0.5)
