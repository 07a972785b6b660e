"""Once-for-all's accuracy predictor as a task loss."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from modnas.core.task import BatchedTaskLoss
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.accuracy import SIZES, AccuracyModel
from modnas.spaces.mobilenetv3.network import Block

SPACE = MobileNetV3()


def published(data_dir):
    with np.load(data_dir / "ofa" / "acc_predictor.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def made():
    draw = np.random.default_rng(0)
    arrays = {}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(SIZES)):
        arrays[f"w{number}"] = draw.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        arrays[f"b{number}"] = draw.normal(0, 0.1, outputs).astype(np.float32)
    return arrays


def test_published_accuracies_of_the_extremes(data_dir):
    # 0.8359 and 0.7774, as the data's description says.
    largest = SPACE.describe(224, [[Block(7, 6)] * 4] * 5)
    smallest = SPACE.describe(224, [[Block(3, 3)] * 2] * 5)
    errors = AccuracyModel(SPACE, published(data_dir))(SPACE.encode([largest, smallest]))
    assert (1 - errors / 100).tolist() == pytest.approx([0.8359, 0.7774], abs=5e-5)


def test_the_inputs_are_those_of_once_for_all():
    """Against the plain form: 60 kernel and 60 expansion flags, zero for absent blocks, 8 sizes."""
    arrays, architectures = made(), SPACE.sample(20, torch.Generator().manual_seed(0))
    model = AccuracyModel(SPACE, arrays)
    for architecture, error in zip(architectures, model(SPACE.encode(architectures)).tolist(), strict=True):
        x = np.zeros(128, np.float32)
        for stage, blocks in enumerate(SPACE.stages(architecture)):
            for position, (kernel, expansion) in enumerate(blocks):
                block = 4 * stage + position
                x[3 * block + (3, 5, 7).index(kernel)] = 1
                x[60 + 3 * block + (3, 4, 6).index(expansion)] = 1
        x[120 + (SPACE.input_shape_of(architecture)[1] - 112) // 16] = 1
        for layer in range(4):
            x = arrays[f"w{layer}"] @ x + arrays[f"b{layer}"]
            x = np.maximum(x, 0) if layer < 3 else x
        assert error == pytest.approx(100 * (1 - float(x[0])), abs=1e-3)


def test_it_is_a_differentiable_task_loss():
    model = AccuracyModel(SPACE, made())
    assert isinstance(model, BatchedTaskLoss)
    samples = SPACE.encode(SPACE.references).requires_grad_()
    (slope,) = torch.autograd.grad(model.losses(samples, None).sum(), samples)
    assert all((part != 0).any() for part in slope.split([15, 60, 60, 25], dim=1))
    assert model.error(samples[0].detach()) == pytest.approx(float(model(samples.detach())[0]))
    assert not list(filter(lambda p: p.requires_grad, model.parameters()))


def test_other_arrays_and_sizes_are_refused():
    arrays = made()
    with pytest.raises(ValueError, match="w1 of an accuracy model"):
        AccuracyModel(SPACE, {name: values for name, values in arrays.items() if name != "w1"})
    with pytest.raises(ValueError, match="112 to 239 pixels"):
        AccuracyModel(MobileNetV3(input_shape=(3, 64, 64), min_side=32), arrays)
