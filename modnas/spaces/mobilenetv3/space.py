"""The once-for-all MobileNetV3 space: five stages of two to four blocks, 25 input sizes.

Every block has a kernel of 3, 5 or 7 and an expansion of 3, 4 or 6. Source: Cai et al., "Once for All: Train
One Network and Specialize it for Efficient Deployment", ICLR 2020; the 25 input sizes are those of HELP (Lee
et al., 2021).

A string names the input size and, stage by stage, the blocks there are:
`r176-k5e3.k3e3-k3e6.k3e4.k3e3-k3e4.k3e4-k3e6.k3e4-k3e3.k5e6`. Blocks beyond a stage's depth belong to no
network, so that neither the string nor `choices` tells them apart: there they have the first option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from modnas.core.architecture import Architecture, ArchitectureError, shown
from modnas.core.preset import Preset
from modnas.core.space import Space
from modnas.core.supernetwork import Supernetwork
from modnas.spaces.mobilenetv3.checkpoint import load_published_file, read_published_file
from modnas.spaces.mobilenetv3.choices import (
    EXPANSIONS_AT,
    KERNELS_AT,
    OPTIONS,
    RESOLUTION_AT,
    RESOLUTIONS,
    TABLES,
    TOTAL,
    blocks_of,
)
from modnas.spaces.mobilenetv3.network import (
    BLOCKS,
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    STAGES,
    Block,
    Network,
    Skeleton,
    make_skeleton,
)
from modnas.spaces.mobilenetv3.presets import PRESETS
from modnas.spaces.mobilenetv3.published import read_lists
from modnas.spaces.mobilenetv3.supernetwork import ElasticNetwork
from modnas.spaces.mobilenetv3.work import Decisions, Work

_BLOCK = re.compile(r"k([357])e([346])")

# The ten reference networks of HELP (Lee et al., 2021; its ofa data, positions 1316, 1587, 1621, 1636, 1980,
# 2329, 2487, 3355, 3740 and 4948). In a space with other input sizes the same options are meant.
REFERENCES: tuple[str, ...] = (
    "r196-k7e3.k7e6.k5e3.k5e6-k7e6.k7e4.k3e3-k7e4.k7e6.k5e6-k3e3.k5e4.k3e4.k3e3-k3e3.k5e3",
    "r172-k7e4.k3e3.k3e6-k5e6.k3e6-k5e3.k7e6-k3e6.k7e3.k5e3-k3e6.k5e3",
    "r204-k7e4.k5e4-k3e4.k3e4-k7e6.k7e3-k5e3.k5e6-k7e3.k7e6.k7e4",
    "r200-k3e4.k7e3.k5e3.k7e6-k3e3.k3e3.k5e4-k3e6.k3e6.k5e4.k3e6-k7e3.k5e6.k3e6.k7e6-k7e4.k5e4.k5e4.k3e6",
    "r136-k5e4.k7e6-k7e4.k7e6-k7e4.k3e3-k7e6.k7e4.k7e4-k7e4.k7e6",
    "r224-k7e6.k7e4.k5e3.k7e6-k3e6.k7e6-k3e6.k7e4.k7e6-k3e6.k3e6.k7e4.k7e3-k3e4.k5e6.k7e6.k7e3",
    "r132-k5e6.k5e3.k7e4.k3e4-k3e3.k3e3-k7e3.k3e3.k3e4.k5e4-k7e3.k3e3-k3e3.k3e6.k3e6",
    "r152-k7e3.k3e6-k3e6.k7e4.k5e3.k7e4-k7e6.k3e4-k3e6.k3e3.k3e4.k7e3-k7e4.k7e3.k3e3.k7e6",
    "r152-k7e4.k3e4-k3e6.k7e3.k3e6.k5e4-k5e4.k5e4.k5e4-k5e3.k5e4.k3e6.k5e4-k5e6.k5e3.k3e3.k7e3",
    "r200-k3e3.k3e3.k7e4.k7e6-k7e6.k7e6.k7e4.k7e3-k5e6.k7e3.k3e3-k3e3.k5e3.k5e6.k3e3-k3e6.k7e6",
)


@dataclass(frozen=True)
class MobileNetV3(Space):
    """The space at one network size.

    The flat encoding of width 160 holds, one-hot: 5 depths (15 columns), 20 kernels (60, stage by stage), 20
    expansions (60), the input size (25, smallest first).

    Args:
        width_percent: width multiplier in percent; once-for-all's larger supernetwork has 120.
        classes: outputs of the classifier.
        input_shape: (channels, side, side) of the largest input.
        min_side: side of the smallest input; the 25 sizes are evenly spaced, rounded to whole pixels. By
            default four sevenths of the largest, which is 128 for 224.
    """

    name: ClassVar[str] = "mobilenetv3"
    options: ClassVar[tuple[int, ...]] = OPTIONS
    tables: ClassVar[tuple[tuple[int, int], ...] | None] = TABLES
    presets: ClassVar[Mapping[str, Preset]] = PRESETS

    width_percent: int = 120
    classes: int = 1000
    input_shape: tuple[int, int, int] = (3, 224, 224)
    min_side: int | None = None

    def __post_init__(self) -> None:
        channels, side, other = self.input_shape
        if min(self.width_percent, self.classes, channels) < 1:
            raise ValueError("width_percent, classes and input channels must be at least 1")
        if side != other:
            raise ValueError(f"inputs must be square, not {side}x{other}")
        if side - self.sides[0] < RESOLUTIONS - 1 or self.sides[0] < 1:
            raise ValueError(f"25 input sizes do not fit between {self.sides[0]} and {side} pixels")

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """The 25 input sizes in pixels, ascending."""
        high = self.input_shape[1]
        low = round(high * 4 / 7) if self.min_side is None else self.min_side
        return tuple(low + round(i * (high - low) / (RESOLUTIONS - 1)) for i in range(RESOLUTIONS))

    @cached_property
    def skeleton(self) -> Skeleton:
        """The parts of the networks that are not searched."""
        return make_skeleton(self.input_shape[0], self.width_percent, self.classes)

    @cached_property
    def _work(self) -> Work:
        return Work(self.skeleton, self.sides)

    @property
    def size(self) -> int:
        """Number of different networks."""
        of_a_stage = sum((len(KERNELS) * len(EXPANSIONS)) ** depth for depth in DEPTHS)
        return int(RESOLUTIONS * of_a_stage**STAGES)

    @property
    def variant(self) -> str:
        channels, side, _ = self.input_shape
        return f"w{self.width_percent}-{channels}x{self.sides[0]}to{side}-{self.classes}"

    @cached_property
    def references(self) -> tuple[Architecture, ...]:
        standard = MobileNetV3()
        return tuple(self.architecture(standard.parse(text).choices) for text in REFERENCES)

    def architecture(self, choices: Sequence[int]) -> Architecture:
        if len(choices) != len(self.options) or not all(
            0 <= c < n for c, n in zip(choices, self.options, strict=True)
        ):
            raise ArchitectureError(
                f"a network has {len(self.options)} choices, 5 depths, 20 kernels, 20 expansions of 0 to 2 "
                f"and a resolution of 0 to {RESOLUTIONS - 1}: {tuple(choices)}"
            )
        plain = [int(c) for c in choices]
        for stage, depth in enumerate(plain[:STAGES]):
            for block in range(stage * BLOCKS + DEPTHS[depth], (stage + 1) * BLOCKS):
                plain[KERNELS_AT + block] = plain[EXPANSIONS_AT + block] = 0
        return Architecture(self.name, self._format(plain), tuple(plain))

    def _format(self, choices: Sequence[int]) -> str:
        stages = [".".join(f"k{k}e{e}" for k, e in blocks) for blocks in blocks_of(choices)]
        return "-".join([f"r{self.sides[choices[RESOLUTION_AT]]}", *stages])

    def parse(self, text: str) -> Architecture:
        stripped = text.strip().removeprefix(f"{self.name}:")
        side, *stages = stripped.split("-")
        try:
            found = [[_BLOCK.fullmatch(block) for block in stage.split(".")] for stage in stages]
            blocks = [[Block(int(m[1]), int(m[2])) for m in stage if m] for stage in found]
            if not all(m for stage in found for m in stage) or side[:1] != "r" or not side[1:].isdecimal():
                raise ValueError
            architecture = self.describe(int(side[1:]), blocks)
            if architecture.string != stripped:
                raise ValueError
            return architecture
        except ValueError as error:
            raise ArchitectureError(
                f"not a network of {self.name} {self.variant}: {shown(stripped)} (expected r, an input side "
                f"of {self.sides[0]} to {self.sides[-1]}, and after - each five stages of 2 to 4 blocks, as "
                "in r176-k5e3.k3e3-k3e6.k3e4.k3e3-k3e4.k3e4-k3e6.k3e4-k3e3.k5e6)"
            ) from error

    def describe(self, side: int, stages: Sequence[Sequence[Block]]) -> Architecture:
        """The network with this input side in pixels and these blocks. Raises ArchitectureError."""
        try:
            if len(stages) != STAGES:
                raise ValueError(f"{len(stages)} stages")
            depths = [DEPTHS.index(len(blocks)) for blocks in stages]
            kernels, expansions = [0] * TOTAL, [0] * TOTAL
            for stage, blocks in enumerate(stages):
                for position, (kernel, expansion) in enumerate(blocks, start=stage * BLOCKS):
                    kernels[position] = KERNELS.index(kernel)
                    expansions[position] = EXPANSIONS.index(expansion)
            return self.architecture([*depths, *kernels, *expansions, self.sides.index(side)])
        except ValueError as error:
            raise ArchitectureError(f"no network of {self.name} {self.variant}: {error}") from error

    def from_lists(
        self, kernels: Sequence[int], expansions: Sequence[int], depths: Sequence[int], side: int
    ) -> Architecture:
        """The network as once-for-all's and HELP's files describe it; blocks beyond the depths are ignored.

        Args:
            kernels, expansions: 20 each, as numbers (3, 5, 7; 3, 4, 6).
            depths: 5, as numbers.
            side: of the input, pixels.

        Raises:
            ArchitectureError: no such network.
        """
        if (len(kernels), len(expansions), len(depths)) != (TOTAL, TOTAL, STAGES):
            raise ArchitectureError(f"{self.name}: 20 kernels, 20 expansions and 5 depths expected")
        pairs = [Block(int(k), int(e)) for k, e in zip(kernels, expansions, strict=True)]
        starts = range(0, TOTAL, BLOCKS)
        return self.describe(int(side), [pairs[s : s + int(d)] for s, d in zip(starts, depths, strict=True)])

    def from_published(self, content: object) -> Architecture | None:
        """Once-for-all's `{"ks": …, "e": …, "d": …, "r": …}` (see `published`)."""
        lists = read_lists(content)
        return None if lists is None else self.from_lists(*lists)

    def is_usable(self, architecture: Architecture) -> bool:
        return True

    def input_shape_of(self, architecture: Architecture) -> tuple[int, ...]:
        side = self.sides[architecture.choices[RESOLUTION_AT]]
        return (self.input_shape[0], side, side)

    def stages(self, architecture: Architecture) -> list[list[Block]]:
        """The blocks of the five stages."""
        return blocks_of(architecture.choices)

    def chosen_features(self, onehot: Tensor) -> Tensor:
        """The encoding with zeros for blocks that the network does not have: (n, 160)."""
        return Decisions.of(onehot).present()

    def predictor_features(self, onehot: Tensor) -> Tensor:
        """How much work a network is (see `work.Work.features`): (n, 25)."""
        return self._work.features(Decisions.of(onehot))

    def function_features(self, onehot: Tensor) -> Tensor:
        """`chosen_features`."""
        return self.chosen_features(onehot)

    def multiply_adds(self, architectures: Sequence[Architecture]) -> Tensor:
        """See `Space.multiply_adds`: of the blocks, which are nearly all."""
        decisions = Decisions.of(self.encode(architectures).double())
        pointwise, depthwise, _ = self._work.amounts(decisions)
        return pointwise.sum(1) + depthwise.sum(1)

    def network(self, architecture: Architecture) -> nn.Module:
        return Network(self.skeleton, self.stages(architecture))

    def supernetwork(self) -> Supernetwork:
        return ElasticNetwork(self.skeleton, self.sides)

    def read_weights(self, path: Path) -> tuple[dict[str, Tensor], int]:
        """As in every space from a `.safetensors` file; any other is read as once-for-all publishes it."""
        return super().read_weights(path) if path.suffix == ".safetensors" else read_published_file(path)

    def load_weights(self, supernetwork: Supernetwork, path: Path) -> int:
        """See `read_weights`."""
        if path.suffix == ".safetensors":
            return super().load_weights(supernetwork, path)
        return load_published_file(supernetwork, path)
