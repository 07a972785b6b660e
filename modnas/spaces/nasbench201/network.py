"""Standalone networks of the NAS-Bench-201 space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from modnas.spaces.nasbench201.cells import (
    CONV3,
    EDGES,
    NONE,
    POOL,
    SKIP,
    live_edges,
)


@dataclass(frozen=True)
class Skeleton:
    """Sizes of everything that is not searched.

    Args:
        channels: of the first stage.
        cells: a stage.
        classes: outputs of the classifier.
        image_channels: of the input.
    """

    channels: int
    cells: int
    classes: int
    image_channels: int


def _relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


def _operator(op: int, channels: int) -> nn.Module:
    if op == SKIP:
        return nn.Identity()
    if op == POOL:
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return _relu_conv_bn(channels, channels, 3 if op == CONV3 else 1)


class Cell(nn.Module):
    """One cell. Operators that cannot reach the output, or are fed by nothing, are left out.

    `keep_dead` builds them all, as the benchmark does and counts them. The two agree while the biases of
    batch normalisation are zero, as they are initially; later an operator fed by zeros adds its bias.
    """

    def __init__(self, choices: Sequence[int], channels: int, keep_dead: bool = False) -> None:
        super().__init__()
        live = live_edges(choices)
        self.operators = nn.ModuleDict(
            {
                f"{i}{j}": _operator(op, channels)
                for (i, j), op, is_live in zip(EDGES, choices, live, strict=True)
                if op != NONE and (is_live or keep_dead)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes: list[Tensor | None] = [x, None, None, None]
        for edge, operator in self.operators.items():
            source, target = nodes[int(edge[0])], int(edge[1])
            if source is None:  # behind a `none`: the official network feeds zeros through it
                source = x * 0.0
            value, held = operator(source), nodes[target]
            nodes[target] = value if held is None else held + value
        output = nodes[3]
        return x * 0.0 if output is None else output


class Reduction(nn.Module):
    """Residual block that halves the resolution and doubles the channels, between the stages."""

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        super().__init__()
        self.conv_a = _relu_conv_bn(inputs, outputs, 3, stride=2)
        self.conv_b = _relu_conv_bn(outputs, outputs, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.shortcut(x) + self.conv_b(self.conv_a(x))
        return result


class CellNetwork(nn.Module):
    """The official skeleton: stem, three stages of N cells with two reductions between, classifier."""

    def __init__(self, skeleton: Skeleton, choices: Sequence[int], keep_dead: bool = False) -> None:
        super().__init__()
        c = skeleton.channels
        self.stem = nn.Sequential(
            nn.Conv2d(skeleton.image_channels, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        )
        body: list[nn.Module] = []
        for stage in range(3):
            width = c * 2**stage
            if stage:
                body.append(Reduction(width // 2, width))
            body.extend(Cell(choices, width, keep_dead) for _ in range(skeleton.cells))
        self.body = nn.Sequential(*body)
        self.head = nn.Sequential(
            nn.BatchNorm2d(4 * c),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * c, skeleton.classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(self.stem(x)))
        return result
