"""Standalone networks and the supernetwork of NAS-Bench-201."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from modnas.spaces.nasbench201.space import (
    CONV1,
    CONV3,
    EDGES,
    NONE,
    POOL,
    SKIP,
    CellNetwork,
    CellSupernetwork,
    NasBench201,
    live_edges,
)

SMALL = NasBench201(channels=4, cells=1, input_shape=(1, 8, 8))
MIXED = (CONV3, CONV1, SKIP, POOL, CONV3, CONV1)


def convolution_multiply_adds(network, shape):
    total = 0

    def add(module, _, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    network.eval()(torch.zeros(1, *shape))
    return total


def count(choices, op, only_live):
    return sum(
        c == op and (lives or not only_live) for c, lives in zip(choices, live_edges(choices), strict=True)
    )


@pytest.mark.parametrize("index", [0, 9, 77, 1462, 1651, 5000])
def test_parameters_and_multiply_adds_of_the_benchmark(nb201, index):
    # The benchmark counts operators that cannot reach the output.
    space = NasBench201()
    network = CellNetwork(space.skeleton, space.at(index).choices, keep_dead=True)
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    assert parameters == pytest.approx(nb201.metrics["params_m_cifar10"][index], abs=1e-6)
    adds = convolution_multiply_adds(network, space.input_shape) / 1e6
    # The published figure also counts the classifier: 64 x 10 weights and 10 biases.
    assert adds + 650e-6 == pytest.approx(nb201.metrics["flops_m_cifar10"][index], abs=1e-4)


@pytest.mark.parametrize("index", [0, 9, 77, 1462, 5000])
def test_multiply_adds_of_pruned_networks(index):
    space = NasBench201()
    choices = space.at(index).choices
    expected = 7.78240 + 35.38944 * count(choices, CONV3, True) + 3.93216 * count(choices, CONV1, True)
    network = space.network(space.at(index))
    assert convolution_multiply_adds(network, space.input_shape) / 1e6 == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_pruning_does_not_change_the_function(training):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, 1, 8, 8, generator=generator)
    cells = [SMALL.at(9), *SMALL.sample(20, generator)]
    assert sum(live_edges(c.choices) != tuple(o != NONE for o in c.choices) for c in cells) > 5
    for cell in cells:
        full = CellNetwork(SMALL.skeleton, cell.choices, keep_dead=True)
        pruned = SMALL.network(cell)
        pruned.load_state_dict({k: v for k, v in full.state_dict().items() if k in pruned.state_dict()})
        full.train(training), pruned.train(training)
        torch.testing.assert_close(pruned(inputs), full(inputs), msg=cell.string)


def test_an_unconnected_cell_gives_a_constant():
    network = SMALL.network(SMALL.architecture((CONV3, CONV3, CONV3, NONE, NONE, NONE))).eval()
    first, second = network(torch.randn(2, 1, 8, 8))
    torch.testing.assert_close(first, second)  # rows of one product need not be summed in the same order
    assert first.isfinite().all()


def test_networks_take_the_shapes_of_the_space():
    space = NasBench201(channels=8, cells=2, classes=7, input_shape=(3, 12, 20))
    network = space.network(space.at(0))
    assert network(torch.zeros(2, 3, 12, 20)).shape == (2, 7)


def sample_of(choices):
    return SMALL.encode([SMALL.architecture(choices)])[0]


@pytest.fixture
def supernetwork():
    torch.manual_seed(0)
    return CellSupernetwork(SMALL.skeleton)


@pytest.fixture
def images():
    return torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def with_changed_kernels(supernetwork, inputs, choices, change):
    before = supernetwork(inputs, sample_of(choices))
    with torch.no_grad():
        for name, parameter in supernetwork.named_parameters():
            if "kernels" in name:
                change(parameter)
    return before, supernetwork(inputs, sample_of(choices))


def shake_border(kernel):
    centre = kernel[:, :, 1, 1].clone()
    kernel.add_(torch.randn_like(kernel))
    kernel[:, :, 1, 1] = centre


def shake_centre(kernel):
    kernel[:, :, 1, 1] += torch.randn_like(kernel[:, :, 1, 1])


def test_a_1x1_kernel_is_the_centre_of_the_3x3_kernel(supernetwork, images):
    before, after = with_changed_kernels(supernetwork, images, (CONV1,) * 6, shake_border)
    assert torch.equal(before, after)
    before, after = with_changed_kernels(supernetwork, images, (CONV1,) * 6, shake_centre)
    assert not torch.allclose(before, after)


def test_a_3x3_kernel_uses_its_border(supernetwork, images):
    before, after = with_changed_kernels(supernetwork, images, (CONV3,) * 6, shake_border)
    assert not torch.allclose(before, after)


class CountCalls(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.convolutions = self.pools = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.convolutions += func is torch.conv2d
        self.pools += func is nn.functional.avg_pool2d
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "choices", [(SKIP,) * 6, (POOL,) * 6, (CONV3,) * 6, MIXED, (NONE, NONE, NONE, CONV1, NONE, NONE)]
)
def test_only_chosen_operators_run(supernetwork, images, choices):
    with CountCalls() as calls:
        supernetwork(images, sample_of(choices))
    convolutions = sum(c in (CONV1, CONV3) for c in choices)
    assert calls.convolutions == 7 + 3 * convolutions  # stem, two reductions of three; three cells
    assert calls.pools == 2 + 3 * sum(c == POOL for c in choices)  # the reductions' shortcuts


def test_counterfactual_gradient_is_the_effect_of_another_operator(supernetwork, images):
    targets = torch.arange(5)
    exact, pixels = supernetwork.double(), images.double()
    exact.counterfactual = True

    def loss(sample):
        return nn.functional.cross_entropy(exact(pixels, sample), targets)

    sample = sample_of(MIXED).double().requires_grad_()
    value = loss(sample)
    value.backward()
    # The idle operators are worth nothing, and a little of one changes the loss as its gradient says.
    assert value.item() == pytest.approx(loss(sample.detach()).item(), abs=1e-12)
    for entry in (3 * 5 + SKIP, 3 * 5 + CONV1, 3 * 5 + CONV3, 5 + POOL):
        step = torch.zeros_like(sample).index_fill(0, torch.tensor(entry), 1e-6)
        up, down = (loss((sample.detach() + s).requires_grad_()).item() for s in (step, -step))
        assert (up - down) / 2e-6 == pytest.approx(sample.grad[entry].item(), rel=1e-3, abs=1e-6)


def test_a_gradient_reaches_every_entry_of_the_sample(supernetwork, images):
    sample = sample_of(MIXED).requires_grad_()
    targets = torch.arange(5)
    nn.functional.cross_entropy(supernetwork(images, sample), targets).backward()
    assert sample.grad is not None
    assert sample.grad.isfinite().all()
    assert (sample.grad != 0).all()


def standalone_copy(supernetwork, choices):
    network = CellNetwork(SMALL.skeleton, choices)
    state = network.state_dict()
    shared = supernetwork.state_dict()
    for key in state:
        if key in shared:
            state[key] = shared[key]
    for block in (0, 2, 4):
        for e, (i, j) in enumerate(EDGES):
            key = f"body.{block}.operators.{i}{j}.1.weight"
            if key in state:
                kernel = shared[f"body.{block}.kernels.{e}"]
                state[key] = kernel if choices[e] == CONV3 else kernel[:, :, 1:2, 1:2]
    network.load_state_dict(state)
    return network.train()


@pytest.mark.parametrize(
    "choices",
    [MIXED, (CONV3,) * 6, (CONV1, NONE, NONE, SKIP, CONV3, CONV3), (NONE, NONE, POOL, CONV1, CONV3, POOL)],
)
def test_a_supernetwork_is_the_standalone_network_with_its_weights(supernetwork, images, choices):
    expected = standalone_copy(supernetwork, choices)(images)
    torch.testing.assert_close(supernetwork(images, sample_of(choices)), expected)


def test_evaluation_mode_changes_nothing_in_the_supernetwork(supernetwork, images):
    expected = supernetwork(images, sample_of(MIXED))
    assert torch.equal(supernetwork.eval()(images, sample_of(MIXED)), expected)
