"""How much work a network of the FBNet space is, as a linear function of its encoding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Option(NamedTuple):
    """What a layer may be: kernel size, expansion and groups of its 1x1 convolutions; kernel 0 is a skip."""

    kernel: int
    expansion: int
    groups: int


# In the order of HW-NAS-Bench.
OPTIONS = {
    "k3_e1": Option(3, 1, 1),
    "k3_e1_g2": Option(3, 1, 2),
    "k3_e3": Option(3, 3, 1),
    "k3_e6": Option(3, 6, 1),
    "k5_e1": Option(5, 1, 1),
    "k5_e1_g2": Option(5, 1, 2),
    "k5_e3": Option(5, 3, 1),
    "k5_e6": Option(5, 6, 1),
    "skip": Option(0, 0, 1),
}


class Layer(NamedTuple):
    """Where a layer stands: its stage, the channels it reads and writes, and their sides in pixels."""

    stage: int
    inputs: int
    outputs: int
    read: int
    written: int


SIDE = 32
_STEM = 16
# Channels, layers and stride of each stage for 32x32 pixels.
_STAGES = ((16, 1, 1), (24, 4, 1), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))


def layers() -> list[Layer]:
    """The 22 searchable layers, first to last."""
    found, inputs, side = [], _STEM, SIDE
    for stage, (outputs, count, stride) in enumerate(_STAGES):
        for position in range(count):
            written = side // stride if position == 0 else side
            found.append(Layer(stage, inputs, outputs, side, written))
            inputs, side = outputs, written
    return found


def _of_layer(layer: Layer, option: Option) -> tuple[float, ...]:
    """Blocks; grouped blocks; multiply-adds of the 1x1 convolutions, and of the depthwise one; values moved;
    weights."""
    read, written = layer.read**2, layer.written**2
    if not option.kernel:
        if (layer.inputs, layer.read) == (layer.outputs, layer.written):
            return (0.0,) * 6
        # A skip that changes the shape is a 1x1 convolution.
        weights = layer.inputs * layer.outputs
        return 0.0, 0.0, weights * written, 0.0, layer.inputs * read + layer.outputs * written, weights
    middle, taps = layer.inputs * option.expansion, option.kernel**2
    expanding, projecting = (middle * c / option.groups for c in (layer.inputs, layer.outputs))
    return (
        1.0,
        float(option.groups > 1),
        expanding * read + projecting * written,
        middle * taps * written,
        (layer.inputs + 2 * middle) * read + (2 * middle + layer.outputs) * written,
        expanding + projecting + middle * taps,
    )


def amounts() -> Tensor:
    """What each option of each layer adds to a network's work, float64 (22 * 9, 48).

    For each of seven stages: blocks, grouped blocks, multiply-adds of 1x1 and of depthwise convolutions,
    values moved, and weights; 1 is the mean over the layers of each one's largest option. Then their means
    over the stages.
    """
    table = torch.tensor(
        [[_of_layer(layer, option) for option in OPTIONS.values()] for layer in layers()], dtype=torch.float64
    )
    table = table / table.amax(1).mean(0)
    stages = one_hot(torch.tensor([layer.stage for layer in layers()]), len(_STAGES)).double()
    by_stage = torch.einsum("loa,ls->losa", table, stages).flatten(2)
    return torch.cat([by_stage, table / len(_STAGES)], dim=2).flatten(0, 1)
