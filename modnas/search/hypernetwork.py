"""MetaHypernetwork: from a preference and a device to the logits of an architecture distribution.

`Hypernetwork` is what a search needs of one; `MetaHypernetwork` is the paper's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Tables = Sequence[tuple[int, int]]


class Hypernetwork(nn.Module, ABC):
    """H(r, d): logits of an architecture distribution for a preference r and a device's feature vector d.

    Attributes:
        options: number of options of each decision; the logits are their concatenation.
    """

    options: tuple[int, ...]

    @abstractmethod
    def forward(self, preferences: Tensor, device_features: Tensor) -> Tensor:
        """Logits of shape (B, sum(options)) for `preferences` (B, M) and `device_features` (B, D)."""

    @abstractmethod
    def pretrain_uniform(self) -> None:
        """Give every option of a decision the same probability, for all preferences and all devices."""

    def device_gradients(self, preferences: Tensor, device_features: Tensor, cotangents: Tensor) -> Tensor:
        """Gradients of the parameters, one for each device, from those of the logits.

        Args:
            preferences: shape (T, n, M), n preferences for each of T devices.
            device_features: shape (T, D).
            cotangents: gradients by the logits, shape (T, n, width); those of a device are summed.

        Returns:
            Shape (T, P), the parameters in the order of `parameters()`.
        """
        rows = []
        for drawn, features, slopes in zip(preferences, device_features, cotangents, strict=True):
            logits = self(drawn, features.expand(len(drawn), -1))
            parts = torch.autograd.grad(logits, list(self.parameters()), slopes, materialize_grads=True)
            rows.append(torch.cat([part.flatten() for part in parts]))
        return torch.stack(rows)

    def device_weights(self, device_features: Tensor) -> Tensor | None:
        """What each member of a bank counts on each device, (T, D) -> (T, K); None where there is no bank."""
        return None

    @property
    def place(self) -> torch.device:
        """Where the parameters lie."""
        return next(self.parameters()).device


def default_tables(width: int, objectives: int) -> tuple[tuple[int, int], ...]:
    """Embedding tables as (width, index of the preference coordinate that picks the row).

    Two objectives: one table over all logits, indexed by the task's preference. More: the logits split evenly
    over the hardware preferences (for NAS-Bench-201 and three objectives: 15 and 15).
    """
    if objectives == 2:
        return ((width, 0),)
    count = objectives - 1
    share, rest = divmod(width, count)
    return tuple((share + (k < rest), k + 1) for k in range(count))


class MetaHypernetwork(Hypernetwork):
    """H(r, d) = sum_k w_k(d) h_k(r), with w(d) = softmax_k(sin(<d, e_k> / sqrt(dim d))).

    The bank {h_k} holds embedding tables; a coordinate of the preference picks the row. One tensor holds a
    table for the whole bank, so that a batch of (r, d) is one gather and one einsum a table.

    Args:
        options: number of options of each decision; the logits are their concatenation.
        device_width: length D of a device's feature vector.
        objectives: length M of a preference.
        bank: number K of hypernetworks.
        intervals: a table has intervals + 1 rows, for coordinates 0, 1 / intervals, ..., 1.
        tables: (width, preference index) of each table; their outputs are concatenated.
        smoothing: 0 reads the nearest row. n > 0 averages the rows within n of it with a triangular kernel,
            so that what is learnt for one preference also serves its neighbours: for short searches, where a
            row is visited only a few times.
        generator: source of the initial values.

    Raises:
        ValueError: the tables do not cover the logits or name a coordinate that is not there.
    """

    def __init__(
        self,
        options: Sequence[int],
        device_width: int,
        objectives: int,
        *,
        bank: int = 50,
        intervals: int = 100,
        tables: Tables | None = None,
        smoothing: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.options = tuple(options)
        self.tables = tuple(tables or default_tables(sum(options), objectives))
        if sum(width for width, _ in self.tables) != sum(options):
            raise ValueError(f"tables {self.tables} do not add up to {sum(options)} logits")
        if not all(0 <= index < objectives for _, index in self.tables):
            raise ValueError(f"tables {self.tables} index a preference of {objectives} coordinates")
        self.intervals, self.smoothing = intervals, smoothing
        self.keys = nn.Parameter(torch.empty(bank, device_width).normal_(generator=generator))
        self.banks = nn.ParameterList(
            torch.empty(bank, intervals + 1, width).normal_(generator=generator) for width, _ in self.tables
        )

    def mixture(self, device_features: Tensor) -> Tensor:
        """Weights of the bank: (B, D) -> (B, K), each row on the simplex."""
        scores = device_features @ self.keys.T / math.sqrt(self.keys.shape[1])
        return scores.sin().softmax(1)

    def row_weights(self, coordinate: Tensor) -> Tensor:
        """What each row of a table counts for a coordinate in [0, 1]: (B,) -> (B, intervals + 1), sum 1."""
        position = coordinate.clamp(0, 1) * self.intervals
        rows = torch.arange(self.intervals + 1, device=position.device)
        if self.smoothing == 0:
            return (rows == position.round().unsqueeze(1)).to(position.dtype)
        weights = (self.smoothing + 1 - (rows - position.unsqueeze(1)).abs()).clamp(min=0)
        return weights / weights.sum(1, keepdim=True)

    def forward(self, preferences: Tensor, device_features: Tensor) -> Tensor:
        """Logits of shape (B, sum(options)) for `preferences` (B, M) and `device_features` (B, D)."""
        mixture = self.mixture(device_features)
        parts = []
        for table, (_, index) in zip(self.banks, self.tables, strict=True):
            # The row is picked by a product: as fast as a gather at this size, and its gradient, unlike a
            # gather's, needs no scattered sum, which costs more than all the rest and has no fixed order.
            held = torch.einsum("bn,knw->bkw", self.row_weights(preferences[:, index]), table)
            parts.append(torch.einsum("bk,bkw->bw", mixture, held))
        return torch.cat(parts, 1)

    def device_weights(self, device_features: Tensor) -> Tensor:
        return self.mixture(device_features)

    @torch.no_grad()
    def pretrain_uniform(self) -> None:
        """Give every option of a decision the same probability, for all preferences and all devices.

        Training random tables for uniform output ends at members that differ and cancel each other. This
        writes such an end down: members come in pairs, with one key and opposite tables, so that they cancel
        exactly, for every device. Members that were all zero would stay equal for good, and no device's
        weights of them would mean anything.
        """
        members = len(self.keys) // 2
        self.keys[members : 2 * members] = self.keys[:members]
        for table in self.banks:
            table[members : 2 * members] = -table[:members]
            table[2 * members :] = 0

    @torch.no_grad()
    def device_gradients(self, preferences: Tensor, device_features: Tensor, cotangents: Tensor) -> Tensor:
        """See `Hypernetwork.device_gradients`; one batched product.

        By hand: the tables are large and enter linearly, so that their gradients are outer products, which
        are written where they belong; automatic differentiation would hold them several times over.
        """
        devices, count, _ = preferences.shape
        projected = device_features @ self.keys.T / math.sqrt(self.keys.shape[1])
        mixture = projected.sin().softmax(1)
        matrix = cotangents.new_empty(devices, sum(p.numel() for p in self.parameters()))
        by_mixture = torch.zeros_like(mixture)
        column, first = self.keys.numel(), 0
        for table, (width, index) in zip(self.banks, self.tables, strict=True):
            rows = self.row_weights(preferences[..., index].flatten()).view(devices, count, -1)
            # What each row receives, (T, rows, width); the mixture shares it out among the bank.
            received = rows.transpose(1, 2) @ cotangents[..., first : first + width]
            block = matrix[:, column : column + table.numel()].view(devices, -1, received[0].numel())
            torch.mul(mixture.unsqueeze(2), received.flatten(1).unsqueeze(1), out=block)
            by_mixture += received.flatten(1) @ table.flatten(1).T
            column, first = column + table.numel(), first + width
        # Through the softmax and the sine to the keys.
        centred = by_mixture - (mixture * by_mixture).sum(1, keepdim=True)
        by_projected = projected.cos() * mixture * centred / math.sqrt(self.keys.shape[1])
        keys = matrix[:, : self.keys.numel()].view(devices, *self.keys.shape)
        torch.mul(by_projected.unsqueeze(2), device_features.unsqueeze(1), out=keys)
        return matrix
