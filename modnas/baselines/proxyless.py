"""ProxylessNAS: gradients on binarised paths, with the expected latency in the loss.

Source: Cai, Zhu and Han, "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware", ICLR
2019. Each decision has a distribution over its options. A step samples two options of each decision; one of
them, by their probabilities, is executed, and the gradient of the error by the two gates, that of the path
not taken included, moves the two probabilities, whose sum stays as it was. The loss is the error plus lambda
times the expected latency over the sampled paths. One search serves one device and one bound: lambda grows
while the most likely architecture breaks the bound and shrinks while it keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from modnas.baselines.base import Model, Problem
from modnas.baselines.bounded import BROKEN, excess_of, run_under_bounds
from modnas.spaces import Architecture, Space

STEPS = 100
LEARNING_RATE = 0.1
BETAS = (0.0, 0.999)  # the authors': without momentum, only sampled paths move
INITIAL_SPREAD = 1e-3
# By this much the logarithm of lambda moves where a latency is twice its bound.
MULTIPLIER_RATE = 0.1


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """The result of a search for each of `budget` bounds; see `bounded.run_under_bounds`."""
    return run_under_bounds(problem, budget, seed, search, gradients=True)


def search(
    space: Space,
    error: Model,
    latency: Model,
    bounds: Sequence[float],
    *,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    seed: int,
    train: Callable[[Tensor], object] | None = None,
) -> list[Architecture]:
    """One architecture a bound, in their order: of those most likely after some step the best that keeps it.

    A bound that none keeps gets the fastest of those. Searches for several bounds are run side by side.

    Args:
        error: model of what is minimised, or a supernetwork's loss; differentiable in its samples.
        latency: model of what is bounded, differentiable in its samples, and of distributions too.
        bounds: largest predicted latencies.
        train: is shown architectures drawn for each bound, (bounds, width), before each step, to train the
            weights of a supernetwork behind `error` on them.
    """
    generator = torch.Generator().manual_seed(seed)
    mask, limits = _mask(space.options), torch.tensor(list(bounds))
    alpha = INITIAL_SPREAD * torch.randn(len(bounds), *mask.shape, generator=generator)
    alpha = torch.where(mask, alpha, -torch.inf).requires_grad_()
    adam = torch.optim.Adam([alpha], learning_rate, betas=BETAS)
    multiplier = torch.ones(len(bounds))
    excess_over, best = excess_of(space, latency), torch.zeros(alpha.shape[:2], dtype=torch.long)
    least = torch.full((len(bounds),), torch.inf)
    for _ in range(steps):
        if train is not None:
            train(_drawn(alpha.detach(), generator)[:, mask])
        paths = _two_paths(alpha.detach(), generator)
        executed, shares = _gates(alpha, paths, generator)
        loss = error(executed[:, mask]) + multiplier * latency(shares[:, mask]) / limits
        adam.zero_grad()
        torch.autograd.backward(loss.sum())
        before = alpha.detach().clone()
        adam.step()
        _rescale(alpha, before, paths)
        with torch.no_grad():
            read = alpha.argmax(2)
            excess, errors = excess_over(read, limits), error(space.encode_choices(read))
        rating = torch.where(excess > 0, BROKEN * (1 + excess), errors)
        better = rating < least
        best[better], least[better] = read[better], rating[better]
        # Of what is not usable the latency says nothing.
        multiplier *= (MULTIPLIER_RATE * torch.where(excess.isinf(), 0, excess).clamp(max=1)).exp()
    return [space.architecture(row) for row in best.tolist()]


def _mask(options: Sequence[int]) -> Tensor:
    """Which places of (decisions, most options) there are; in their order they are the encoding."""
    return torch.arange(max(options)).unsqueeze(0) < torch.tensor(options).unsqueeze(1)


def _gumbel(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Logits with noise: the largest are a sample without replacement from their softmax."""
    return alpha - torch.empty_like(alpha).exponential_(generator=generator).log()


def _drawn(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """One-hot samples, of the shape of the logits (n, decisions, options)."""
    chosen = _gumbel(alpha, generator).argmax(2, keepdim=True)
    return torch.zeros_like(alpha).scatter(2, chosen, 1.0)


def _two_paths(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Two different options of each decision, by their probabilities: (n, decisions, 2)."""
    return _gumbel(alpha, generator).topk(2, dim=2).indices


def _gates(alpha: Tensor, paths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Binary gates of sampled paths, and their probabilities among the two; 0 elsewhere.

    The gates' gradient passes to the probabilities as it is, so that of the logits is the paper's.
    """
    shares = alpha.gather(2, paths).softmax(2)
    first = torch.rand(shares.shape[:2], generator=generator) < shares[..., 0]
    gates = torch.stack([first, ~first], 2) + (shares - shares.detach())
    zeros = torch.zeros_like(alpha)
    return zeros.scatter(2, paths, gates), zeros.scatter(2, paths, shares)


@torch.no_grad()
def _rescale(alpha: Tensor, before: Tensor, paths: Tensor) -> None:
    """Give the two paths together the probability that they had, so that the others keep theirs."""
    gained = alpha.gather(2, paths).logsumexp(2) - before.gather(2, paths).logsumexp(2)
    alpha.scatter_add_(2, paths, -gained.unsqueeze(2).expand(-1, -1, 2))
