"""The NAS-Bench-201 cell space: 4 nodes, 6 edges, 5 operators, 15,625 cells.

Source: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
ICLR 2020. Strings, operator names and the order of the benchmark's index are the official ones.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modnas.spaces.base import Architecture, ArchitectureError, Space, Supernetwork
from modnas.spaces.nasbench201_cells import (
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

    def __init__(self, space: NasBench201, choices: Sequence[int], keep_dead: bool = False) -> None:
        super().__init__()
        c = space.channels
        self.stem = nn.Sequential(
            nn.Conv2d(space.input_shape[0], c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        )
        body: list[nn.Module] = []
        for stage in range(3):
            width = c * 2**stage
            if stage:
                body.append(Reduction(width // 2, width))
            body.extend(Cell(choices, width, keep_dead) for _ in range(space.cells))
        self.body = nn.Sequential(*body)
        self.head = nn.Sequential(
            nn.BatchNorm2d(4 * c),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * c, space.classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(self.stem(x)))
        return result


class _WeightedSum(torch.autograd.Function):
    """shift + sum_i weights[i] * terms[i], made for weights that are nearly always 1 or 0.

    Written out, each product with 1 would pass over its activation once more forward and twice more backward.
    """

    @staticmethod
    def forward(ctx: Any, shift: Tensor, weights: Tensor, *terms: Tensor) -> Tensor:
        ctx.weights = weights.tolist()
        if weights.requires_grad:
            ctx.save_for_backward(*terms)
        parts = [term if w == 1 else w * term for w, term in zip(ctx.weights, terms, strict=True) if w != 0]
        constant = float(shift)
        if not parts:
            return torch.zeros_like(terms[0]) + constant
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total if constant == 0 else total + constant

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_shift, by_weights = None, None
        if ctx.needs_input_grad[1]:
            row = gradient.reshape(-1)
            by_shift = row.sum()
            by_weights = torch.stack([row.dot(term.reshape(-1)) for term in ctx.saved_tensors])
        by_terms = [
            (gradient if w == 1 else w * gradient) if needed else None
            for w, needed in zip(ctx.weights, ctx.needs_input_grad[2:], strict=True)
        ]
        return by_shift, by_weights, *by_terms


class _Node:
    """A node's value; what convolutions see of it is computed once for all edges that leave it."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    @cached_property
    def rectified(self) -> Tensor:
        return self.value.relu()


class EntangledCell(nn.Module):
    """A cell of the supernetwork: one 3x3 kernel an edge, whose centre is the 1x1 kernel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernels = nn.ParameterList()
        for _ in EDGES:
            kernel = torch.empty(channels, channels, 3, 3)
            nn.init.kaiming_normal_(kernel, nonlinearity="relu")
            self.kernels.append(nn.Parameter(kernel))

    def _apply_operator(self, edge: int, op: int, node: _Node) -> Tensor:
        if op == SKIP:
            return node.value
        if op == POOL:
            return nn.functional.avg_pool2d(node.value, 3, 1, 1, count_include_pad=False)
        kernel = self.kernels[edge]
        if op == CONV1:
            kernel = kernel[:, :, 1:2, 1:2]
        x = nn.functional.conv2d(node.rectified, kernel, padding=kernel.shape[-1] // 2)
        # Batch statistics, no affine part: shared weights have no one running mean that fits all cells.
        return nn.functional.batch_norm(x, None, None, training=True)

    @torch.no_grad()
    def _idle_operators(self, edge: int, chosen: int, x: Tensor) -> dict[int, Tensor]:
        """The operators not chosen, without their own gradients."""
        node = _Node(x)
        idle = [op for op in range(len(OPERATORS)) if op not in (NONE, chosen)]
        return {op: self._apply_operator(edge, op, node) for op in idle}

    def forward(
        self, x: Tensor, choices: Sequence[int], weights: Tensor, counterfactual: bool = False
    ) -> Tensor:
        """Execute the chosen operators that are live; the others add zeros, or to nothing that is used.

        `weights`: shape (6, 5), 1 at the chosen operators and 0 elsewhere. Operators that were not chosen
        get their gradient through the weight alone, as if their output were 1 everywhere.
        """
        live = live_edges(choices)
        nodes = [_Node(x)]
        for target in (1, 2, 3):
            terms: dict[tuple[int, int], Tensor] = {}
            shift = weights.new_zeros(())
            for e, (i, j) in enumerate(EDGES):
                if j != target:
                    continue
                op = choices[e]
                if live[e]:
                    terms[e, op] = self._apply_operator(e, op, nodes[i])
                if counterfactual:
                    idle = self._idle_operators(e, op, nodes[i].value)
                    terms.update({(e, other): value for other, value in idle.items()})
                elif weights.requires_grad:
                    shift = shift + weights[e].sum() - weights[e, op]
            nodes.append(_Node(_weighted_sum(shift, weights, terms, like=x)))
        return nodes[3].value


def _weighted_sum(
    shift: Tensor, weights: Tensor, terms: dict[tuple[int, int], Tensor], like: Tensor
) -> Tensor:
    """`_WeightedSum` of terms keyed by the row and column of their weights; of none, the shape of `like`."""
    if not terms:
        return torch.zeros_like(like) + shift
    rows, columns = zip(*terms, strict=True)
    result: Tensor = _WeightedSum.apply(  # type: ignore[no-untyped-call]
        shift, weights[rows, columns], *terms.values()
    )
    return result


class CellSupernetwork(Supernetwork):
    """Supernetwork over all cells, in the skeleton of the standalone network."""

    def __init__(self, space: NasBench201) -> None:
        super().__init__()
        plain = CellNetwork(space, (SKIP,) * len(EDGES))
        self.stem, self.head = plain.stem, plain.head
        self.body = nn.ModuleList(
            block
            if isinstance(block, Reduction)
            else EntangledCell(space.channels * 2 ** (n // (space.cells + 1)))
            for n, block in enumerate(plain.body)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):  # as in the cells: batch statistics only
                module.track_running_stats = False
                module.running_mean = module.running_var = None
                module.num_batches_tracked = None

    def forward(self, inputs: Tensor, sample: Tensor) -> Tensor:
        weights = sample.view(len(EDGES), len(OPERATORS))
        choices = weights.argmax(dim=1).tolist()
        probing = self.counterfactual and sample.requires_grad
        x = self.stem(inputs)
        for block in self.body:
            x = block(x, choices, weights, probing) if isinstance(block, EntangledCell) else block(x)
        result: Tensor = self.head(x)
        return result


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
                f"not a NAS-Bench-201 cell: {text.strip()!r} (expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2| "
                f"with op one of {', '.join(OPERATORS)})"
            )
        return self.architecture([OPERATORS.index(op) for op in match.groups()])

    def is_usable(self, architecture: Architecture) -> bool:
        return any(live_edges(architecture.choices))

    def decode(self, logits: Tensor) -> Architecture:
        """The cell with the highest sum of logits among those whose output depends on their input.

        It is given in its plainest form: cells that share it are the same network.
        """
        encodings, cells = _usable_cells()
        return self.simplified(self.architecture(cells[int((encodings @ logits.detach().cpu()).argmax())]))

    def simplified(self, architecture: Architecture) -> Architecture:
        """The plainest cell that is the same network (see `nasbench201_cells.simplest`)."""
        return self.architecture(simplest(architecture.choices))

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

    def network(self, architecture: Architecture) -> nn.Module:
        return CellNetwork(self, architecture.choices)

    def supernetwork(self) -> Supernetwork:
        return CellSupernetwork(self)


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
def _usable_cells() -> tuple[Tensor, list[tuple[int, ...]]]:
    cells = [cell for cell in official_order() if any(live_edges(cell))]
    onehot = nn.functional.one_hot(torch.tensor(cells), len(OPERATORS)).flatten(1).float()
    return onehot, cells
