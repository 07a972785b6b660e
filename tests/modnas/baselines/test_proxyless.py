"""ProxylessNAS on models, and on a supernetwork whose weights it trains."""

from __future__ import annotations

import itertools

import pytest
import torch

from modnas.baselines import proxyless
from modnas.spaces import get_space
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.work import Decisions
from modnas.spaces.nasbench201 import NasBench201
from modnas.tasks.weight_sharing import SupernetworkLoss

pytestmark = pytest.mark.trains

CELLS = NasBench201()
COLUMNS = torch.arange(1.0, 6.0).repeat(6)


def latency(onehot: torch.Tensor) -> torch.Tensor:
    """Of an imaginary device: the sum of the positions of the operators chosen."""
    return onehot @ COLUMNS


def error(onehot: torch.Tensor) -> torch.Tensor:
    """Of an imaginary task: slower is better, the less so the slower."""
    return onehot @ (5 - COLUMNS).square()


def test_the_latency_comes_close_to_each_bound_and_keeps_it() -> None:
    bounds = [12.0, 18.0, 25.0, 40.0]
    found = proxyless.search(CELLS, error, latency, bounds, steps=150, seed=0)
    values = latency(CELLS.encode(found)).tolist()
    assert all(value <= bound for value, bound in zip(values, bounds, strict=True))
    assert all(min(bound, 30) - 3 <= value for value, bound in zip(values, bounds, strict=True))
    assert found == proxyless.search(CELLS, error, latency, bounds, steps=150, seed=0)


def test_what_no_architecture_keeps_gives_a_fast_one() -> None:
    (found,) = proxyless.search(CELLS, error, latency, [1.0], seed=0)
    assert CELLS.is_usable(found)
    assert float(latency(CELLS.encode([found]))[0]) <= 12


def test_decisions_may_have_different_numbers_of_options() -> None:
    space = MobileNetV3()

    def blocks(onehot: torch.Tensor) -> torch.Tensor:
        return Decisions.of(onehot).live().sum(1)

    def small_kernels(onehot: torch.Tensor) -> torch.Tensor:
        return 100 * Decisions.of(onehot).kernel[..., 0].mean(1)

    (found,) = proxyless.search(space, small_kernels, blocks, [15.0], seed=0)
    onehot = space.encode_choices(torch.tensor([found.choices]))
    assert float(blocks(onehot)[0]) <= 15
    live = Decisions.of(onehot).live().bool()
    assert not (Decisions.of(onehot).kernel[..., 0].bool() & live).any()


def test_only_the_sampled_paths_move_and_keep_their_sum() -> None:
    before = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    paths = proxyless._two_paths(before, torch.Generator().manual_seed(1))
    moved = before.scatter_add(2, paths, torch.tensor([1.0, -0.2]).expand(3, 4, 2))
    proxyless._rescale(moved, before, paths)
    old, new = before.softmax(2), moved.softmax(2)
    there = torch.zeros_like(before, dtype=torch.bool).scatter(2, paths, True)
    torch.testing.assert_close(new[~there], old[~there])
    assert (new[there] != old[there]).all()


def test_the_gradient_is_the_papers() -> None:
    """Of the two sampled options, the sum over both gates of their gradient times dp_j / d alpha_i."""
    generator = torch.Generator().manual_seed(0)
    alpha = torch.randn(1, 2, 5, generator=generator).requires_grad_()
    paths = proxyless._two_paths(alpha.detach(), generator)
    executed, _ = proxyless._gates(alpha, paths, generator)
    by_gates = torch.randn(1, 2, 5, generator=generator)
    (gradient,) = torch.autograd.grad((executed * by_gates).sum(), alpha)
    assert sorted(executed.detach()[0, 0].tolist()) == [0, 0, 0, 0, 1]
    p, g = alpha.detach().gather(2, paths).softmax(2)[0, 0], by_gates.gather(2, paths)[0, 0]
    for i, path in enumerate(paths[0, 0].tolist()):
        expected = sum(g[j] * p[j] * (float(i == j) - p[i]) for j in range(2))
        torch.testing.assert_close(gradient[0, 0, path], expected)


def test_a_supernetwork_is_searched_while_its_weights_are_trained() -> None:
    space = get_space("nasbench201", channels=4, cells=1, classes=4, input_shape=(1, 8, 8))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(16, 1, 8, 8, generator=generator)
    batch = inputs, (inputs.mean((1, 2, 3)) > 0).long()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        supernetwork = space.supernetwork()
    supernetwork.counterfactual = True
    task_loss = SupernetworkLoss(supernetwork, [batch])
    optimiser = torch.optim.SGD(supernetwork.parameters(), 0.05)
    losses: list[float] = []

    def loss(samples: torch.Tensor) -> torch.Tensor:
        return torch.stack([task_loss.loss(sample, batch) for sample in samples])

    def train(samples: torch.Tensor) -> None:
        optimiser.zero_grad()
        value = loss(samples).mean()
        torch.autograd.backward(value)
        optimiser.step()
        losses.append(float(value.detach()))

    (found,) = proxyless.search(space, loss, latency, [18.0], steps=40, seed=0, train=train)
    assert float(latency(space.encode([found]))[0]) <= 18
    assert space.is_usable(found)
    first, last = itertools.islice(losses, 5), losses[-5:]
    assert sum(last) < sum(first)
