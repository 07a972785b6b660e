"""How much work a network of the MobileNetV3 space is, as a polynomial of its encoding.

A device's latency is nearly a sum over stages of multiply-adds and of values moved, each at the device's own
price. Told these amounts, a predictor needs a hundred measurements where the bare encoding needs thousands
(`docs/benchmarks-ofa.md`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from modnas.spaces.mobilenetv3.network import (
    BLOCKS,
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    STAGES,
    Skeleton,
    middle_channels,
    within,
)

_TOTAL = STAGES * BLOCKS


class Decisions(NamedTuple):
    """Encodings (n, 160) taken apart, each part with one row a decision.

    Attributes:
        depth: (n, 5, 3).
        kernel: (n, 20, 3), stage by stage.
        expansion: (n, 20, 3).
        resolution: (n, sizes), smallest first.
    """

    depth: Tensor
    kernel: Tensor
    expansion: Tensor
    resolution: Tensor

    @classmethod
    def of(cls, onehot: Tensor) -> Decisions:
        """Views of encodings, one-hot or probabilities."""
        widths = STAGES * len(DEPTHS), _TOTAL * len(KERNELS), _TOTAL * len(EXPANSIONS)
        rest = onehot.shape[1] - sum(widths)
        depth, kernel, expansion, resolution = torch.split(onehot, [*widths, rest], dim=1)
        return cls(
            depth.reshape(-1, STAGES, len(DEPTHS)),
            kernel.reshape(-1, _TOTAL, len(KERNELS)),
            expansion.reshape(-1, _TOTAL, len(EXPANSIONS)),
            resolution,
        )

    def live(self) -> Tensor:
        """For each block the probability that its stage is that deep, (n, 20); 0 or 1 for one-hot input."""
        always = self.depth.sum(2)
        at_least = [always, always, always - self.depth[..., 0], self.depth[..., 2]]
        return torch.stack(at_least, dim=2).flatten(1)

    def present(self) -> Tensor:
        """The encodings with zeros for blocks that the network does not have: (n, 160)."""
        live = self.live().unsqueeze(2)
        blocks = [(part * live).flatten(1) for part in (self.kernel, self.expansion)]
        return torch.cat([self.depth.flatten(1), *blocks, self.resolution], dim=1)


class Work:
    """Amounts of work at one network size.

    Args:
        sides: the input sizes in pixels.
    """

    def __init__(self, skeleton: Skeleton, sides: Sequence[int]) -> None:
        blocks = [within(stage, position) for stage in skeleton.stages for position in range(BLOCKS)]
        middle = [[middle_channels(block.inputs, e) for e in EXPANSIONS] for block in blocks]
        # Pixels that a block reads and writes, by input size; the stem halves the side.
        read, written = [], []
        for side in sides:
            reached = [math.ceil(side / 2)]
            for block in blocks:
                reached.append(math.ceil(reached[-1] / block.stride))
            read.append([size**2 for size in reached[:-1]])
            written.append([size**2 for size in reached[1:]])
        self._middle = torch.tensor(middle, dtype=torch.float64)
        self._read = torch.tensor(read, dtype=torch.float64)
        self._written = torch.tensor(written, dtype=torch.float64)
        self._inputs = torch.tensor([block.inputs for block in blocks], dtype=torch.float64)
        self._outputs = torch.tensor([block.outputs for block in blocks], dtype=torch.float64)
        self._taps = torch.tensor([k**2 for k in KERNELS], dtype=torch.float64)
        self._sides = torch.tensor(sides, dtype=torch.float64) / max(sides)
        width = STAGES * len(DEPTHS) + _TOTAL * (len(KERNELS) + len(EXPANSIONS))
        largest = torch.zeros(1, width + len(sides), dtype=torch.float64)
        largest[0, 2:width:3] = 1
        largest[0, -1] = 1
        self._unit = [amount.mean() for amount in self.amounts(Decisions.of(largest))]

    def amounts(self, decisions: Decisions) -> tuple[Tensor, Tensor, Tensor]:
        """Multiply-adds of the 1x1 convolutions, those of the depthwise ones, and the values between them,
        by stage: (n, 5) each."""
        live, (_, kernel, expansion, resolution) = decisions.live(), decisions
        dtype = resolution.dtype
        read, written = resolution @ self._read.to(dtype), resolution @ self._written.to(dtype)
        middle = live * (expansion * self._middle.to(dtype)).sum(2)
        pointwise = middle * (self._inputs.to(dtype) * read + self._outputs.to(dtype) * written)
        depthwise = middle * written * (kernel @ self._taps.to(dtype))
        moved = middle * (read + written)
        return _by_stage(pointwise), _by_stage(depthwise), _by_stage(moved)

    def features(self, decisions: Decisions) -> Tensor:
        """Relative amounts, differentiable in the decisions.

        Returns:
            Shape (n, 25): blocks there are, by stage, of 4 (5); the three `amounts` by stage, where 1 is the
            mean over the stages of the largest network (15); totals of blocks and of both kinds of
            multiply-adds, where 1 is a stage's share in the largest network (3); side and area of the
            input, of the largest (2).
        """
        dtype = decisions.resolution.dtype
        blocks = _by_stage(decisions.live()) / BLOCKS
        amounts = [a / u.to(dtype) for a, u in zip(self.amounts(decisions), self._unit, strict=True)]
        totals = [part.sum(1, keepdim=True) / STAGES for part in (blocks, *amounts[:2])]
        sides = self._sides.to(dtype)
        image = [decisions.resolution @ sides.pow(power) for power in (1, 2)]
        return torch.cat([blocks, *amounts, *totals, torch.stack(image, dim=1)], dim=1)


def _by_stage(amounts: Tensor) -> Tensor:
    return amounts.reshape(-1, STAGES, BLOCKS).sum(2)
