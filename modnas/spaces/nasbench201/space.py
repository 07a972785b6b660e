"""The NAS-Bench-201 cell space: 4 nodes, 6 edges, 5 operators, 15,625 cells.

Source: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
ICLR 2020. Strings, operator names and the order of the benchmark's index are the official ones.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor, nn

from modnas.core.architecture import Architecture, ArchitectureError, shown
from modnas.core.preset import Preset
from modnas.core.space import Space
from modnas.core.supernetwork import Supernetwork
from modnas.spaces.nasbench201.cells import (
    CONV1,
    CONV3,
    EDGES,
    NONE,
    OPERATORS,
    POOL,
    SKIP,
    format_cell,
    live_edges,
    official_order,
    simplest,
)
from modnas.spaces.nasbench201.network import CellNetwork, Skeleton
from modnas.spaces.nasbench201.presets import PRESETS
from modnas.spaces.nasbench201.published import inner_string, published_choices
from modnas.spaces.nasbench201.supernetwork import CellSupernetwork

# Positions, in the official order, of the ten reference cells of HELP (Lee et al., 2021).
REFERENCE_INDICES = (11982, 431, 55, 9, 14451, 8636, 9881, 13479, 6196, 1462)

_OP = "(" + "|".join(OPERATORS) + ")"
_PATTERN = re.compile(rf"\|{_OP}~0\|\+\|{_OP}~0\|{_OP}~1\|\+\|{_OP}~0\|{_OP}~1\|{_OP}~2\|")


def live_weights(onehot: Tensor) -> Tensor:
    """`live_edges` as a polynomial of the encoding, so that a gradient can pass.

    Args:
        onehot: shape (n, 30), one-hot or probabilities.

    Returns:
        Shape (n, 6): for one-hot input exactly 0 or 1; for probabilities, an approximation of the
        probability that the edge is live.
    """
    active = 1 - onehot.view(-1, len(EDGES), len(OPERATORS))[..., NONE]
    one = torch.ones_like(active[:, 0])
    unreached = dict.fromkeys((1, 2, 3), one)
    unneeded = dict.fromkeys((0, 1, 2), one)

    def reached(node: int) -> Tensor:
        return one if node == 0 else 1 - unreached[node]

    def needed(node: int) -> Tensor:
        return one if node == 3 else 1 - unneeded[node]

    for e, (i, j) in enumerate(EDGES):
        unreached[j] = unreached[j] * (1 - reached(i) * active[:, e])
    for e, (i, j) in reversed(list(enumerate(EDGES))):
        unneeded[i] = unneeded[i] * (1 - needed(j) * active[:, e])
    return torch.stack([reached(i) * active[:, e] * needed(j) for e, (i, j) in enumerate(EDGES)], dim=1)


@dataclass(frozen=True)
class NasBench201(Space):
    """The space at one network size.

    Args:
        channels: channels of the first stage (C; the benchmark trains C = 16).
        cells: cells a stage (N; the benchmark trains N = 5).
        classes: outputs of the classifier.
        input_shape: (channels, height, width); height and width divisible by 4.
    """

    name: ClassVar[str] = "nasbench201"
    options: ClassVar[tuple[int, ...]] = (len(OPERATORS),) * len(EDGES)
    presets: ClassVar[Mapping[str, Preset]] = PRESETS

    channels: int = 16
    cells: int = 5
    classes: int = 10
    input_shape: tuple[int, int, int] = (3, 32, 32)

    def __post_init__(self) -> None:
        if min(self.channels, self.cells, self.classes, *self.input_shape) < 1:
            raise ValueError("channels, cells, classes and every side of input_shape must be at least 1")
        if self.input_shape[1] % 4 or self.input_shape[2] % 4:
            raise ValueError(f"input height and width must be divisible by 4, not {self.input_shape[1:]}")

    @property
    def skeleton(self) -> Skeleton:
        """The parts of the networks that are not searched."""
        return Skeleton(self.channels, self.cells, self.classes, self.input_shape[0])

    @property
    def size(self) -> int:
        return len(_usable_cells()[1])

    @property
    def variant(self) -> str:
        size = "x".join(str(n) for n in self.input_shape)
        return f"c{self.channels}n{self.cells}-{size}-{self.classes}"

    @property
    def references(self) -> tuple[Architecture, ...]:
        return tuple(self.at(index) for index in REFERENCE_INDICES)

    def at(self, index: int) -> Architecture:
        """The cell at a position of the benchmark's official index (0 to 15,624)."""
        return self.architecture(official_order()[index])

    @property
    def architectures(self) -> list[Architecture]:
        """Every cell, in the official order."""
        return self.all()

    def all(self) -> list[Architecture]:
        """Every cell, in the official order."""
        return [self.architecture(cell) for cell in official_order()]

    def architecture(self, choices: Sequence[int]) -> Architecture:
        if len(choices) != len(EDGES) or not all(0 <= c < len(OPERATORS) for c in choices):
            raise ArchitectureError(
                f"a cell has {len(EDGES)} choices of 0 to {len(OPERATORS) - 1}: {choices}"
            )
        return Architecture(self.name, format_cell(choices), tuple(int(c) for c in choices))

    def parse(self, text: str) -> Architecture:
        match = _PATTERN.fullmatch(text.strip().removeprefix(f"{self.name}:"))
        if match is None:
            raise ArchitectureError(
                f"not a NAS-Bench-201 cell: {shown(text.strip())} (expected "
                f"|op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of {', '.join(OPERATORS)})"
            )
        return self.architecture([OPERATORS.index(op) for op in match.groups()])

    def from_published(self, content: object) -> Architecture | None:
        """See `published`: a position in the index, six operators, a genotype, a printed `Structure`."""
        if isinstance(content, str) and (string := inner_string(content)):
            return self.parse(string)
        choices = published_choices(content)
        return None if choices is None else self.architecture(choices)

    def is_usable(self, architecture: Architecture) -> bool:
        return any(live_edges(architecture.choices))

    @property
    def unusable(self) -> Architecture:
        """The cell without any operator."""
        return self.architecture([NONE] * len(EDGES))

    def decode(self, logits: Tensor) -> Architecture:
        """The cell with the highest sum of logits among those whose output depends on their input.

        It is given in its plainest form: cells that share it are the same network.
        """
        encodings, cells = _usable_cells()
        return self.simplified(self.architecture(cells[int((encodings @ logits.detach().cpu()).argmax())]))

    def simplified(self, architecture: Architecture) -> Architecture:
        """The plainest cell that is the same network (see `cells.simplest`)."""
        return self.architecture(simplest(architecture.choices))

    def forms(self, architecture: Architecture) -> list[Architecture]:
        """See `Space.forms`: with operators on dead edges, nodes that only hand on what they get, the inner
        nodes exchanged."""
        return list(_forms()[simplest(architecture.choices)])

    def neighbours(self, architecture: Architecture, distance: int = 2) -> list[Architecture]:
        """See `Space.neighbours`; two edges unless told, because a path through an inner node takes two."""
        return super().neighbours(architecture, distance)

    def predictor_features(self, onehot: Tensor) -> Tensor:
        """What a runtime that deletes dead operators executes.

        Returns:
            Shape (n, 32): per edge 4 flags of the operators other than `none`, zero on dead edges (24);
            how often each of the 4 occurs (4); live inputs of nodes 1, 2, 3 beyond the first, that is
            additions (3); whether the cell's output depends on its input (1).
        """
        live = live_weights(onehot)
        flags = onehot.view(-1, len(EDGES), len(OPERATORS))[..., 1:] * live.unsqueeze(-1)
        incoming = torch.stack(
            [live[:, [e for e, (_, j) in enumerate(EDGES) if j == n]].sum(1) for n in (1, 2, 3)], 1
        )
        connected = 1 - torch.stack([1 - live[:, e] for e, (_, j) in enumerate(EDGES) if j == 3]).prod(0)
        return torch.cat(
            [flags.flatten(1), flags.sum(1), (incoming - 1).clamp(min=0), connected.unsqueeze(1)], dim=1
        )

    def function_features(self, onehot: Tensor) -> Tensor:
        """How often each sequence of operators occurs on the paths from input to output.

        Skips are left out of a sequence, and paths with `none` do not count: cells that differ only in
        the numbering of their nodes or in dead edges get the same features. Sequences have up to three of
        1x1, 3x3 and pooling: (n, 40), the empty sequence first.
        """
        choices = onehot.view(-1, len(EDGES), len(OPERATORS))[..., 1:]
        counts = onehot.new_zeros(len(onehot), 40)
        for edges, places in _path_places():
            product = choices[:, edges[0]]
            for edge in edges[1:]:
                product = (product.unsqueeze(2) * choices[:, edge].unsqueeze(1)).flatten(1)
            counts = counts.index_add(1, places.to(onehot.device), product)
        return counts

    def multiply_adds(self, architectures: Sequence[Architecture]) -> Tensor:
        """See `Space.multiply_adds`. A convolution costs as much in every stage: twice the channels, half the
        side."""
        image, height, width = self.input_shape
        unit = self.channels**2 * height * width  # of a 1x1 convolution
        taps = {CONV1: 1, CONV3: 9}
        # Stem and classifier; two reductions, each two 3x3 convolutions of which one halves, and a shortcut.
        fixed = 9 * image * self.channels * height * width + 4 * self.channels * self.classes + 2 * 14 * unit
        work = [
            sum(taps.get(op, 0) for op, live in zip(a.choices, live_edges(a.choices), strict=True) if live)
            for a in architectures
        ]
        return fixed + 3 * self.cells * unit * torch.tensor(work, dtype=torch.float64)

    def network(self, architecture: Architecture) -> nn.Module:
        return CellNetwork(self.skeleton, architecture.choices)

    def supernetwork(self) -> Supernetwork:
        return CellSupernetwork(self.skeleton)


@cache
def _path_places() -> list[tuple[tuple[int, ...], Tensor]]:
    """For each path, its edges and, for every choice of operators but `none`, where the sequence counts."""
    sequences = [s for n in range(4) for s in itertools.product((CONV1, CONV3, POOL), repeat=n)]
    paths = ((3,), (0, 4), (1, 5), (0, 2, 5))
    return [
        (
            edges,
            torch.tensor(
                [
                    sequences.index(tuple(op for op in ops if op != SKIP))
                    for ops in itertools.product((SKIP, CONV1, CONV3, POOL), repeat=len(edges))
                ]
            ),
        )
        for edges in paths
    ]


@cache
def _forms() -> dict[tuple[int, ...], list[Architecture]]:
    """By plainest cell, the cells that are the same network, itself first; in the official order."""
    found: dict[tuple[int, ...], list[Architecture]] = {}
    for cell in official_order():
        plainest = simplest(cell)
        first = Architecture(NasBench201.name, format_cell(plainest), plainest)
        forms = found.setdefault(plainest, [first])
        if cell != plainest:
            forms.append(Architecture(NasBench201.name, format_cell(cell), cell))
    return found


@cache
def _usable_cells() -> tuple[Tensor, list[tuple[int, ...]]]:
    cells = [cell for cell in official_order() if any(live_edges(cell))]
    onehot = nn.functional.one_hot(torch.tensor(cells), len(OPERATORS)).flatten(1).float()
    return onehot, cells
