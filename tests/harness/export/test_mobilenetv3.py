"""Networks of the MobileNetV3 space as ONNX, each at its own input size."""

from __future__ import annotations

import time

import numpy as np
import onnxruntime
import pytest
import torch
from model_sources import Models, probe_input

from harness.export import ArtifactCache
from modnas.accuracy.training import recalibrate
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.network import Block

SMALL = MobileNetV3(width_percent=25, classes=10, input_shape=(3, 64, 64), min_side=32)


def run(artifact, inputs):
    session = onnxruntime.InferenceSession(str(artifact.path), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": inputs.numpy()})[0]


@pytest.mark.parametrize("batch", [1, 3])
def test_every_network_agrees_with_pytorch_at_its_own_input_size(tmp_path, batch):
    cache = ArtifactCache(tmp_path)
    extremes = [
        SMALL.describe(side, [[Block(k, e)] * d] * 5) for side, k, e, d in ((32, 3, 3, 2), (64, 7, 6, 4))
    ]
    for architecture in [*extremes, *SMALL.sample(4, torch.Generator().manual_seed(0))]:
        artifact = cache.get(SMALL, architecture, batch)
        assert artifact.inputs[0].shape == (batch, *SMALL.input_shape_of(architecture))
        expected = np.array(artifact.expected)
        assert expected.std() > 0.01
        got = run(artifact, probe_input(artifact.inputs[0].shape)).ravel()
        assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_rounding_is_not_multiplied_where_the_last_layers_see_one_pixel(tmp_path):
    """With statistics of four values this network's output differed from PyTorch's by 0.0012."""
    space = MobileNetV3(width_percent=25, classes=10, input_shape=(3, 48, 48), min_side=24)
    architecture = space.parse(
        "r30-k7e4.k3e4-k3e6.k7e3.k3e6.k5e4-k5e4.k5e4.k5e4-k5e3.k5e4.k3e6.k5e4-k5e6.k5e3.k3e3.k7e3"
    )
    artifact = ArtifactCache(tmp_path).get(space, architecture, 1)
    got = run(artifact, probe_input(artifact.inputs[0].shape)).ravel()
    assert np.abs(got - artifact.expected).max() < 2e-4  # of the 1e-3 that are allowed


def test_given_weights_are_exported(tmp_path):
    """A sub-network of a supernetwork, with its own normalisation statistics."""
    torch.manual_seed(0)
    architecture = SMALL.references[0]
    network = SMALL.supernetwork().extract(architecture)
    shape = SMALL.input_shape_of(architecture)
    recalibrate(network, [torch.randn(8, *shape)])
    own = Models({"inherited": network}, *SMALL.inputs(architecture))
    artifact = ArtifactCache(tmp_path).get(own, own.anchor, 2)
    images = torch.randn(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(run(artifact, images)), network(images), atol=1e-4, rtol=1e-3
        )


@pytest.mark.exclusive
def test_a_published_network_is_exported_from_its_description(tmp_path, data_dir):
    """The network that HELP publishes for Titan RTX at 20.3 ms, full size; exporting costs under a second."""
    space = MobileNetV3()
    architecture = space.parse("r176-k5e3.k3e3-k3e6.k3e6.k3e4-k7e4.k7e4.k5e3-k5e6.k5e4.k3e4-k3e6.k3e6.k3e4")
    began = time.perf_counter()
    artifact = ArtifactCache(tmp_path).get(space, architecture, 1)
    assert time.perf_counter() - began < 5  # on a busy machine; see docs/benchmarks-ofa.md for a quiet one
    got = run(artifact, probe_input((1, 3, 176, 176))).ravel()
    np.testing.assert_allclose(got, artifact.expected, atol=1e-4)
