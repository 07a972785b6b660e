"""The once-for-all supernetwork: every network of the MobileNetV3 space in the weights of the largest.

A network takes the first channels of a block's middle, the central part of its 7x7 kernel passed through
learned matrices, the first blocks of a stage, and a scaled image. Source: Cai et al., "Once for All: Train
One Network and Specialize it for Efficient Deployment", ICLR 2020, sections 3.2 and 3.3.

The gradient by the sample comes from weights that overlap: a kernel is the sum of the three kernels, each
times its entry of the sample, channels count as the sum over the expansions that reach them, and a stage's
output is the sum over its depths. That is one pass at full size, whose value is the chosen network's, and
each entry's gradient says what more of that option would do. Source: Sukthanker et al., "Weight-Entanglement
Meets Gradient-Based Neural Architecture Search", 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from modnas.core.architecture import Architecture, read_choices
from modnas.core.supernetwork import Supernetwork
from modnas.spaces.mobilenetv3.choices import OPTIONS, RESOLUTION_AT, blocks_of
from modnas.spaces.mobilenetv3.network import (
    BLOCKS,
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    Block,
    InvertedBottleneck,
    Network,
    Skeleton,
    SqueezeExcite,
    Stage,
    head,
    initialise,
    middle_channels,
    squeezed_channels,
    stem,
    within,
)
from modnas.spaces.mobilenetv3.work import Decisions


class Mixture(NamedTuple):
    """How much each option of a block counts, with a gradient: (3,) each."""

    kernel: Tensor
    expansion: Tensor


def _normalise(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Batch statistics, whatever the mode: shared weights have no one mean that fits all networks."""
    channels = x.shape[1]
    return functional.batch_norm(x, None, None, norm.weight[:channels], norm.bias[:channels], training=True)


class ElasticBlock(nn.Module):
    """An inverted bottleneck with all kernels and expansions, in the weights of 7 and 6.

    `to5` (25, 25) and `to3` (9, 9) map the central part of the next larger kernel to a kernel.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.full = InvertedBottleneck(stage, max(KERNELS), max(EXPANSIONS))
        self.to5 = nn.Parameter(torch.eye(25))
        self.to3 = nn.Parameter(torch.eye(9))

    def filters(self, kernel: int) -> Tensor:
        """Depthwise filters of that size for all channels, (channels, 1, kernel, kernel)."""
        weight: Tensor = self.full.depthwise.conv.weight
        for size, matrix in ((5, self.to5), (3, self.to3)):
            if kernel <= size:
                weight = (weight[..., 1:-1, 1:-1].flatten(1) @ matrix.T).view(-1, 1, size, size)
        return weight

    def forward(self, x: Tensor, block: Block | Mixture) -> Tensor:
        """Run one block, or a mixture of all at full size."""
        if isinstance(block, Block):
            count = middle_channels(self.stage.inputs, block.expansion)
            return self._run(x, self.filters(block.kernel)[:count])
        mixture, counts = block, [middle_channels(self.stage.inputs, e) for e in EXPANSIONS]
        padded = [functional.pad(self.filters(k), [(max(KERNELS) - k) // 2] * 4) for k in KERNELS]
        filters = torch.einsum("k,kcouv->couv", mixture.kernel, torch.stack(padded))
        squeezed = _prefix_weights([squeezed_channels(c) for c in counts], mixture.expansion)
        return self._run(x, filters, _prefix_weights(counts, mixture.expansion), squeezed)

    def _run(
        self, x: Tensor, filters: Tensor, middle: Tensor | None = None, squeezed: Tensor | None = None
    ) -> Tensor:
        """Run with as many channels as there are filters.

        `middle`, `squeezed`: what the channels of the middle and of its squeeze-excite count; None: all 1.
        """
        full, count = self.full, len(filters)
        assert full.expand is not None  # only the first block of a network, which is not searched, has none
        y = full.activation(_normalise(_first(full.expand.conv, x, count), full.expand.norm))
        padding = filters.shape[-1] // 2
        y = functional.conv2d(y, filters, stride=self.stage.stride, padding=padding, groups=count)
        y = full.activation(_normalise(y, full.depthwise.norm))
        y = y if middle is None else y * middle
        if full.squeeze_excite is not None:
            y = _squeeze_excite(full.squeeze_excite, y, squeezed)
        y = _normalise(_first(full.project.conv, y), full.project.norm)
        return x + y if full.is_residual else y

    def extract_to(self, block: InvertedBottleneck, kernel: int) -> None:
        """Copy the weights of a smaller block, which has this kernel, into it."""
        parts = self.full.state_dict()
        parts["depthwise.conv.weight"] = self.filters(kernel).detach()
        # Every tensor of the smaller block is the first part of the larger one's.
        block.load_state_dict(
            {n: parts[n][tuple(map(slice, t.shape))] for n, t in block.state_dict().items()}
        )


def _prefix_weights(counts: Sequence[int], weights: Tensor) -> Tensor:
    """What each channel counts where option i has the first `counts[i]` channels: (1, channels, 1, 1)."""
    positions = torch.arange(max(counts), device=weights.device)
    reached = positions < torch.tensor(counts, device=weights.device).unsqueeze(1)
    return (weights @ reached.to(weights)).view(1, -1, 1, 1)


def _first(layer: nn.Conv2d, x: Tensor, outputs: int | None = None) -> Tensor:
    """The layer's first output channels from its first input channels."""
    weight = layer.weight[:outputs, : x.shape[1]]
    return functional.conv2d(x, weight, None if layer.bias is None else layer.bias[:outputs])


def _squeeze_excite(layer: SqueezeExcite, x: Tensor, weights: Tensor | None) -> Tensor:
    y = _first(layer.reduce, x.mean((2, 3), keepdim=True), squeezed_channels(x.shape[1])).relu()
    y = y if weights is None else y * weights
    return x * functional.hardsigmoid(_first(layer.expand, y, x.shape[1]))


class ElasticNetwork(Supernetwork):
    """All networks of a space. `counterfactual` changes nothing: overlapping weights know all options.

    `sides`: the input sizes in pixels, in the order of the options.
    """

    def __init__(self, skeleton: Skeleton, sides: Sequence[int]) -> None:
        super().__init__()
        self.skeleton, self.sides = skeleton, tuple(sides)
        self.stem = stem(skeleton)
        self.blocks = nn.ModuleList(
            ElasticBlock(within(stage, position)) for stage in skeleton.stages for position in range(BLOCKS)
        )
        self.head = head(skeleton)
        initialise(self)
        for norm in self._norms():
            norm.track_running_stats = False

    def _stages(self) -> list[list[ElasticBlock]]:
        blocks = [block for block in self.blocks if isinstance(block, ElasticBlock)]
        return [blocks[start : start + BLOCKS] for start in range(0, len(blocks), BLOCKS)]

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> ElasticNetwork:
        """As `nn.Module.train`, but normalisation always uses the batch's statistics. The running ones are
        there for a published checkpoint's and never change."""
        super().train(mode)
        for norm in self._norms():
            norm.train()
        return self

    def forward(self, inputs: Tensor, sample: Tensor) -> Tensor:
        """See `Supernetwork.forward`. Inputs are scaled to the architecture's size.

        The gradient by the input sizes follows the straight line between the outputs at the chosen size and
        at the one farthest from it, which is executed too.
        """
        choices = read_choices(sample, OPTIONS)
        chosen, side = blocks_of(choices), self.sides[choices[RESOLUTION_AT]]
        if not sample.requires_grad:
            return self._run(inputs, chosen, side)
        outputs = self._run(inputs, chosen, side, sample)
        sides = self.sides
        far = max(sides, key=lambda s: abs(s - side))
        with torch.no_grad():
            change = (self._run(inputs, chosen, far) - outputs) / (far - side)
        shares = sample[-len(sides) :] @ torch.tensor(sides, device=sample.device).to(sample).sub(side)
        return outputs + change * shares

    def _run(
        self, inputs: Tensor, chosen: list[list[Block]], side: int, sample: Tensor | None = None
    ) -> Tensor:
        x = self.stem(_scaled(inputs, side))
        for number, (blocks, stage) in enumerate(zip(self._stages(), chosen, strict=True)):
            if sample is None:
                for block, described in zip(blocks, stage, strict=False):
                    x = block(x, described)
            else:
                depth, mixtures = self._mixtures(sample, number)
                outputs = []
                for block, mixture in zip(blocks, mixtures, strict=True):
                    x = block(x, mixture)
                    outputs.append(x)
                ends = torch.stack([outputs[d - 1] for d in DEPTHS])
                x = torch.einsum("d,dbcuv->bcuv", depth, ends)
        result: Tensor = self.head(x)
        return result

    def _mixtures(self, sample: Tensor, stage: int) -> tuple[Tensor, list[Mixture]]:
        """Weights of a stage's depths, (3,), and of its four blocks' options."""
        parts = Decisions.of(sample.unsqueeze(0))
        positions = range(stage * BLOCKS, (stage + 1) * BLOCKS)
        return parts.depth[0, stage], [Mixture(parts.kernel[0, p], parts.expansion[0, p]) for p in positions]

    @torch.no_grad()
    def extract(self, architecture: Architecture) -> nn.Module:
        described = blocks_of(architecture.choices)
        network = Network(self.skeleton, described)
        network.stem.load_state_dict(self.stem.state_dict())
        network.head.load_state_dict(self.head.state_dict())
        own = [module for module in network.stages.modules() if isinstance(module, InvertedBottleneck)]
        pairs = [
            (block, chosen)
            for blocks, stage in zip(self._stages(), described, strict=True)
            for block, chosen in zip(blocks, stage, strict=False)
        ]
        for target, (block, chosen) in zip(own, pairs, strict=True):
            block.extract_to(target, chosen.kernel)
        return network


def _scaled(images: Tensor, side: int) -> Tensor:
    if images.shape[-1] == side:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
