"""The supernetwork of the NAS-Bench-201 space: every cell in one set of entangled weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modnas.core.supernetwork import Supernetwork
from modnas.spaces.nasbench201.cells import (
    CONV1,
    EDGES,
    NONE,
    OPERATORS,
    POOL,
    SKIP,
    live_edges,
)
from modnas.spaces.nasbench201.network import CellNetwork, Reduction, Skeleton


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

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        plain = CellNetwork(skeleton, (SKIP,) * len(EDGES))
        self.stem, self.head = plain.stem, plain.head
        self.body = nn.ModuleList(
            block
            if isinstance(block, Reduction)
            else EntangledCell(skeleton.channels * 2 ** (n // (skeleton.cells + 1)))
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
