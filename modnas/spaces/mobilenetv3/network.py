"""Networks of the once-for-all MobileNetV3 space: what is fixed, the layers, and one network by itself.

Source of all numbers and of the order of layers: Cai et al., "Once for All: Train One Network and Specialize
it for Efficient Deployment", ICLR 2020, and the authors' package `ofa`; hard-swish and squeeze-excite are
those of Howard et al., "Searching for MobileNetV3", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTHS = (2, 3, 4)
STAGES, BLOCKS = 5, 4  # blocks a stage has at most

# Channels of the stem, of the first block, of the five stages, and of the two layers of the head.
_CHANNELS = (16, 16, 24, 40, 80, 112, 160, 960, 1280)
_STRIDES = (2, 2, 2, 1, 2)
_HARD_SWISH = (False, False, True, True, True)
_SQUEEZE_EXCITE = (False, True, False, True, True)
_DIVISOR = 8


class Block(NamedTuple):
    """One inverted bottleneck that a network has."""

    kernel: int
    expansion: int


@dataclass(frozen=True)
class Stage:
    """What the search does not choose of a stage."""

    inputs: int
    outputs: int
    stride: int
    hard_swish: bool
    squeeze_excite: bool


@dataclass(frozen=True)
class Skeleton:
    """Sizes of the fixed parts.

    Args:
        image_channels: of the input.
        stem: channels of the first convolution.
        first: channels of the first block, which is not searched.
        stages: the five stages.
        mixed, features: channels before and after the head's second layer.
        classes: outputs.
    """

    image_channels: int
    stem: int
    first: int
    stages: tuple[Stage, ...]
    mixed: int
    features: int
    classes: int


def divisible(channels: float) -> int:
    """The multiple of 8 nearest to a number of channels, but not more than a tenth below it, at least 8."""
    rounded = max(_DIVISOR, int(channels + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * channels else rounded


def middle_channels(inputs: int, expansion: int) -> int:
    """Channels between the two 1x1 convolutions of a block."""
    return divisible(inputs * expansion)


def squeezed_channels(channels: int) -> int:
    """Channels in the middle of squeeze-excite."""
    return divisible(channels // 4)


def make_skeleton(image_channels: int, width_percent: int, classes: int) -> Skeleton:
    """The fixed parts at a width multiplier, in percent."""
    scaled = [divisible(c * width_percent / 100) for c in _CHANNELS]
    stages = tuple(
        Stage(scaled[1 + s], scaled[2 + s], _STRIDES[s], _HARD_SWISH[s], _SQUEEZE_EXCITE[s])
        for s in range(STAGES)
    )
    return Skeleton(image_channels, scaled[0], scaled[1], stages, scaled[7], scaled[8], classes)


class Convolution(nn.Module):
    """A convolution without bias, which keeps the size at stride 1, and its batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.conv(x))
        return result


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate between 0 and 1 that is computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = squeezed_channels(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, middle, 1)
        self.relu = nn.ReLU()
        self.expand = nn.Conv2d(middle, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x * self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))
        return result


class InvertedBottleneck(nn.Module):
    """1x1 convolution to more channels (absent at expansion 1), depthwise convolution, squeeze-excite where
    the stage has it, 1x1 convolution back; the input is added where its shape is that of the output."""

    def __init__(self, stage: Stage, kernel: int, expansion: int) -> None:
        super().__init__()
        middle = middle_channels(stage.inputs, expansion)
        self.expand = Convolution(stage.inputs, middle) if expansion > 1 else None
        self.depthwise = Convolution(middle, middle, kernel, stage.stride, groups=middle)
        self.activation = nn.Hardswish() if stage.hard_swish else nn.ReLU()
        self.squeeze_excite = SqueezeExcite(middle) if stage.squeeze_excite else None
        self.project = Convolution(middle, stage.outputs)
        self.is_residual = stage.stride == 1 and stage.inputs == stage.outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.activation(self.expand(x))
        y = self.activation(self.depthwise(y))
        y = y if self.squeeze_excite is None else self.squeeze_excite(y)
        result: Tensor = self.project(y)
        return x + result if self.is_residual else result


def within(stage: Stage, position: int) -> Stage:
    """The stage as its block at `position` (from 0) sees it: only the first changes size and channels."""
    if position == 0:
        return stage
    return Stage(stage.outputs, stage.outputs, 1, stage.hard_swish, stage.squeeze_excite)


def stem(skeleton: Skeleton) -> nn.Sequential:
    """First convolution and first block."""
    plain = Stage(skeleton.stem, skeleton.first, 1, hard_swish=False, squeeze_excite=False)
    return nn.Sequential(
        Convolution(skeleton.image_channels, skeleton.stem, 3, 2),
        nn.Hardswish(),
        InvertedBottleneck(plain, kernel=3, expansion=1),
    )


def head(skeleton: Skeleton) -> nn.Sequential:
    """From the last stage to logits."""
    return nn.Sequential(
        Convolution(skeleton.stages[-1].outputs, skeleton.mixed),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(skeleton.mixed, skeleton.features, 1, bias=False),
        nn.Hardswish(),
        nn.Flatten(),
        nn.Linear(skeleton.features, skeleton.classes),
    )


class Network(nn.Module):
    """One network of the space.

    Args:
        stages: the blocks of each of the five stages.
    """

    def __init__(self, skeleton: Skeleton, stages: Sequence[Sequence[Block]]) -> None:
        super().__init__()
        self.stem = stem(skeleton)
        self.stages = nn.ModuleList(
            nn.Sequential(*(InvertedBottleneck(within(fixed, i), *block) for i, block in enumerate(blocks)))
            for fixed, blocks in zip(skeleton.stages, stages, strict=True)
        )
        self.head = head(skeleton)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        result: Tensor = self.head(x)
        return result


def initialise(module: nn.Module) -> None:
    """Initial weights as once-for-all's: normal, with the variance that keeps gradients' size."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)
