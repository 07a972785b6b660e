"""Standalone networks and the supernetwork of the MobileNetV3 space."""

from __future__ import annotations

import json

import pytest
import torch
from ofa_published import published_names
from torch import nn
from torch.nn.functional import cross_entropy, interpolate

from modnas.accuracy.training import recalibrate
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.checkpoint import load_published, load_published_file, own_name
from modnas.spaces.mobilenetv3.network import Block, divisible
from modnas.spaces.mobilenetv3.work import Decisions, Work

SMALL = MobileNetV3(width_percent=25, classes=4, input_shape=(3, 56, 56))

# Parameters and multiply-adds of the authors' own networks, counted (convolutions and the classifier's
# product) in `get_active_subnet()` of OFAMobileNetV3, package ofa 0.1.0.post202307202001 from PyPI.
SMALLEST, LARGEST = (128, 3, 3, 2), (224, 7, 6, 4)
PUBLISHED = {
    (100, LARGEST): (7_664_760, 566_170_656),
    (100, SMALLEST): (3_410_792, 41_476_224),
    (120, LARGEST): (10_701_632, 843_101_040),
    (120, SMALLEST): (4_602_456, 65_536_896),
}
# The same of the networks that HELP publishes, at width 1.2, in the order of reference.json.
PUBLISHED_BY_HELP = [
    (7_600_928, 336_258_352),
    (7_733_184, 374_856_240),
    (7_167_784, 229_781_280),
    (7_566_640, 267_788_736),
    (7_912_520, 346_337_840),
    (8_044_544, 243_179_680),
    (8_322_720, 279_089_536),
]


def uniform(space, side, kernel, expansion, depth):
    return space.describe(side, [[Block(kernel, expansion)] * depth] * 5)


def counts(space, architecture):
    network, adds = space.network(architecture).eval(), []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(lambda m, _, y: adds.append(y.numel() * m.weight[0].numel()))
    with torch.no_grad():
        network(torch.zeros(1, *space.input_shape_of(architecture)))
    return sum(p.numel() for p in network.parameters()), sum(adds)


@pytest.mark.parametrize(("width", "sizes"), PUBLISHED)
def test_parameters_and_multiply_adds_of_the_extremes(width, sizes):
    space = MobileNetV3(width_percent=width)
    parameters, adds = counts(space, uniform(space, *sizes))
    expected = PUBLISHED[width, sizes]
    assert parameters == expected[0]
    assert adds == expected[1]


def test_parameters_and_multiply_adds_of_published_networks(data_dir):
    space = MobileNetV3()
    reference = json.loads((data_dir / "ofa" / "reference.json").read_text())
    for net, expected in zip(reference["published_help_nets"], PUBLISHED_BY_HELP, strict=True):
        parameters, adds = counts(space, space.from_lists(net["ks"], net["e"], net["d"], net["r"]))
        assert parameters == expected[0]
        assert adds == expected[1]


def test_amounts_of_work_are_the_networks():
    for architecture in some():
        network, found = SMALL.network(architecture).eval(), {"pointwise": [], "depthwise": []}
        for stage in network.stages:
            for block in stage:
                for layer in (block.expand.conv, block.depthwise.conv, block.project.conv):
                    kind = found["depthwise" if layer.groups > 1 else "pointwise"]
                    layer.register_forward_hook(
                        lambda m, _, y, kind=kind: kind.append(y.numel() * m.weight[0].numel())
                    )
        with torch.no_grad():
            network(torch.zeros(1, *SMALL.input_shape_of(architecture)))
        work = Work(SMALL.skeleton, SMALL.sides)
        pointwise, depthwise, _ = work.amounts(Decisions.of(SMALL.encode([architecture]).double()))
        assert float(pointwise.sum()) == sum(found["pointwise"])
        assert float(depthwise.sum()) == sum(found["depthwise"])


def test_channels_are_rounded_to_eights():
    # First-layer channels of width 1.2: 16 x 1.2 = 19.2 would lose more than a tenth as 16.
    assert [divisible(c) for c in (19.2, 28.8, 48, 134.4, 3, 12)] == [24, 32, 48, 136, 8, 16]


@pytest.fixture
def supernetwork():
    torch.manual_seed(0)
    network = SMALL.supernetwork()
    for name, parameter in network.named_parameters():
        if name.endswith((".to5", ".to3")):
            nn.init.normal_(parameter, std=0.3)
        elif parameter.dim() == 1:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return network


def some(count=4):
    extremes = [uniform(SMALL, side, k, e, d) for side, k, e, d in ((32, 3, 3, 2), (56, 7, 6, 4))]
    return [*extremes, *SMALL.sample(count, torch.Generator().manual_seed(0))]


def scaled(images, architecture):
    side = SMALL.input_shape_of(architecture)[1]
    return interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def test_an_extracted_network_gives_the_same_outputs(supernetwork):
    images = torch.randn(6, 3, 56, 56)
    for architecture in some():
        network = supernetwork.extract(architecture).train()
        assert {n: t.shape for n, t in network.state_dict().items()} == {
            n: t.shape for n, t in SMALL.network(architecture).state_dict().items()
        }
        expected = supernetwork(images, SMALL.encode([architecture])[0])
        torch.testing.assert_close(network(scaled(images, architecture)), expected)


def test_the_mode_does_not_change_the_supernetwork(supernetwork):
    images, sample = torch.randn(6, 3, 56, 56), SMALL.encode(some(1))[-1]
    before = {n: t.clone() for n, t in supernetwork.named_buffers() if "num_batches" not in n}
    expected = supernetwork.train()(images, sample)
    assert torch.equal(supernetwork.eval()(images, sample), expected)
    assert all(torch.equal(t, dict(supernetwork.named_buffers())[n]) for n, t in before.items())


def test_a_gradient_does_not_change_the_value(supernetwork):
    images = torch.randn(6, 3, 56, 56)
    for architecture in some():
        sample = SMALL.encode([architecture])[0]
        torch.testing.assert_close(
            supernetwork(images, sample.clone().requires_grad_()), supernetwork(images, sample)
        )


def test_the_gradient_by_the_sample_reaches_every_kind_of_decision(supernetwork):
    images, targets = torch.randn(6, 3, 56, 56), torch.tensor([0, 1, 2, 3, 0, 1])
    architecture = uniform(SMALL, 40, 5, 4, 3)
    sample = SMALL.encode([architecture])[0].requires_grad_()
    (slope,) = torch.autograd.grad(cross_entropy(supernetwork(images, sample), targets), sample)
    depth, kernel, expansion, resolution = slope.split([15, 60, 60, 25])
    assert (depth.view(5, 3) != 0).all()
    live = torch.tensor([True, True, True, False] * 5)
    for part in (kernel, expansion):
        # Of the options not chosen: more of the chosen one alone is taken back by normalisation.
        assert (part.view(20, 3)[live][:, [0, 2]] != 0).all()
        assert (part.view(20, 3)[~live] == 0).all()  # the fourth block of a stage of three
    assert int((resolution != 0).sum()) == 24
    assert resolution[SMALL.sides.index(40)] == 0


def test_only_the_weights_of_the_chosen_network_get_a_gradient(supernetwork):
    sample = SMALL.encode([uniform(SMALL, 40, 3, 3, 2)])[0]
    supernetwork(torch.randn(6, 3, 56, 56), sample).sum().backward()
    block, absent = supernetwork.blocks[1], supernetwork.blocks[2]
    assert absent.full.project.conv.weight.grad is None
    assert block.to3.grad.abs().sum() > 0
    kernel = block.full.depthwise.conv.weight.grad
    used = kernel.abs().sum((1, 2, 3)) > 0
    assert used[: len(used) // 2].all()
    assert not used[len(used) // 2 :].any()


def test_recalibration_gives_the_statistics_of_the_batches(supernetwork):
    architecture = some(1)[-1]
    batches = [scaled(torch.randn(64, 3, 56, 56), architecture) for _ in range(2)]
    network = supernetwork.extract(architecture)
    recalibrate(network, batches)
    assert not network.training
    first = network.stem[0]
    with torch.no_grad():
        stacked = [first.conv(batch) for batch in batches]
    expected = torch.stack([x.mean((0, 2, 3)) for x in stacked]).mean(0)
    torch.testing.assert_close(first.norm.running_mean, expected)
    # Of batches this large, evaluation says nearly what the supernetwork says of a batch.
    with torch.no_grad():
        own = network(batches[0])
        shared = network.train()(batches[0])
    assert (own - shared).abs().max() < 0.2 * shared.abs().max()


def test_a_published_checkpoint_is_read(tmp_path):
    state = {name: torch.rand(shape) for name, shape in published_names().items()}
    # Elements of the published state dict, and parameters of the supernetwork among them, by the package ofa.
    assert len(state) == 475
    learned = {n: t for n, t in state.items() if "running" not in n and "num_batches" not in n}
    assert sum(t.numel() for t in learned.values()) == 10_715_752
    path = tmp_path / "ofa_mbv3_d234_e346_k357_w1.2"
    torch.save({"state_dict": state}, path)
    network = MobileNetV3().supernetwork()
    load_published_file(network, path)
    own = network.state_dict()
    assert {own_name(name) for name in state} == set(own)
    assert all(torch.equal(own[own_name(name)], t) for name, t in state.items() if "num_batches" not in name)


def test_both_namings_mean_the_same():
    for name in published_names():
        newer = name.replace(".mobile_inverted_conv.", ".conv.")
        older = name.replace(".bn.bn.", ".bn.").replace(".conv.conv.", ".conv.")
        assert own_name(name) == own_name(newer) == own_name(older)


def test_other_checkpoints_are_refused(tmp_path):
    network = SMALL.supernetwork()
    with pytest.raises(ValueError, match="of another network"):
        load_published(network, {name: torch.rand(shape) for name, shape in published_names().items()})
    with pytest.raises(ValueError, match="no place for 'blocks"):
        load_published(network, {"blocks.1.conv.unknown.weight": torch.zeros(1)})
    path = tmp_path / "file"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no published supernetwork"):
        load_published_file(network, path)
