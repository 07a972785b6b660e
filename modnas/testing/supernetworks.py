"""What every supernetwork must do: run one architecture at a time, and say how its choices matter."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor, nn

from modnas.core.architecture import Architecture
from modnas.core.space import Space
from modnas.core.supernetwork import Supernetwork
from modnas.testing.inputs import random_inputs

_BATCH = 4


def check_supernetwork(space: Space, architectures: Sequence[Architecture] = ()) -> None:
    """Check the supernetwork of a space.

    Args:
        architectures: that are run; the first references by default.

    Raises:
        AssertionError: it does not do what a supernetwork must; the message says what.
    """
    some = list(architectures or space.references[:3])
    network = _made(space)
    assert isinstance(network, Supernetwork), "supernetwork() gives no modnas Supernetwork"
    other = _made(space).state_dict()
    assert all(torch.equal(t, other[n]) for n, t in network.state_dict().items()), "one seed, two networks"
    outputs = [_check_forward(space, network, one) for one in some]
    assert len({tuple(output.shape) for output in outputs}) == 1, "outputs of architectures differ in shape"
    _check_gradients(space, network, some[0])
    for one in some:
        with suppress(NotImplementedError):
            _check_extract(space, network, one)


def _made(space: Space) -> Supernetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return space.supernetwork()


def _inputs(space: Space, architecture: Architecture) -> Tensor:
    """A batch of a task's inputs, which are of the space's largest shape."""
    largest = replace(space.inputs(architecture)[0], shape=tuple(space.input_shape))
    (inputs,) = random_inputs([largest], _BATCH)
    return inputs


def _check_forward(space: Space, network: Supernetwork, architecture: Architecture) -> Tensor:
    sample = space.encode([architecture])[0]
    network.train()
    with torch.no_grad():
        output: Tensor = network(_inputs(space, architecture), sample)
    assert len(output) == _BATCH, "the first dimension of the output is not the batch"
    assert bool(output.isfinite().all()), f"{architecture.string}: the output is not finite"
    return output


def _check_gradients(space: Space, network: Supernetwork, architecture: Architecture) -> None:
    """Weights learn, and every entry of a sample that was chosen has a gradient."""
    for counterfactual in (False, True):
        network.counterfactual = counterfactual
        sample = space.encode([architecture])[0].requires_grad_()
        network.zero_grad()
        loss = network(_inputs(space, architecture), sample).square().mean()
        torch.autograd.backward(loss)
        assert sample.grad is not None and bool(sample.grad.isfinite().all()), "a sample has no gradient"
        assert bool(sample.grad.any()), "choices have no effect"
    network.counterfactual = False
    used = [p.grad is not None and bool(p.grad.any()) for p in network.parameters()]
    assert any(used), "no weight has a gradient"


def _check_extract(space: Space, network: Supernetwork, architecture: Architecture) -> None:
    """What is taken out is the standalone network of the architecture, and its own."""
    taken = network.extract(architecture)
    alone: nn.Module = space.network(architecture)
    shapes = {name: tensor.shape for name, tensor in taken.state_dict().items()}
    assert shapes == {n: t.shape for n, t in alone.state_dict().items()}, (
        f"{architecture.string}: extract gives another network than network()"
    )
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for parameter in taken.parameters():
        nn.init.zeros_(parameter)
    after = network.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before), "what is taken out shares its weights"
