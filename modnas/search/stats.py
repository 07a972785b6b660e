"""What a search reports: means over an epoch, and the fronts at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modnas.search.front import FrontPoint


@dataclass(frozen=True)
class EpochStats:
    """Means over the upper-level steps of an epoch; dictionaries by device name.

    `task_loss` is not normalised, `device_loss` is the scalarised loss, `metrics` are predictions in physical
    units, `coefficients` the devices' weights in the step (0 where a device was left out), `entropy` that of
    the architecture distribution relative to the uniform one, `seconds` wall-clock time. `device_spread`:
    where the MetaHypernetwork is a bank, the largest difference between two devices' weights of a member at
    the end of the epoch; 0 means that the device's vector does nothing.
    """

    epoch: int
    steps: int
    task_loss: float
    device_loss: dict[str, float]
    metrics: dict[str, list[float]]
    coefficients: dict[str, float]
    entropy: float
    seconds: float
    device_spread: float | None = None


@dataclass(frozen=True)
class Validation:
    """Fronts of the devices by the task's validation error and the predicted metrics.

    `objectives[device][n]` is [error, metric, ...] of `fronts[device][n]`; `hypervolume` is scaled by
    `error_bounds` and each device's `low` and `high`, with the reference point (1, ..., 1); larger is better.
    """

    epoch: int
    fronts: dict[str, list[FrontPoint]]
    objectives: dict[str, list[list[float]]]
    hypervolume: dict[str, float]

    @property
    def score(self) -> float:
        """Mean hypervolume over the devices."""
        return sum(self.hypervolume.values()) / len(self.hypervolume)


class Tally:
    """Sums over the upper-level steps of an epoch, by device."""

    def __init__(self, names: Sequence[str], metrics: int) -> None:
        self.names = tuple(names)
        self.loss, self.coefficients, self.rows = torch.zeros(3, len(names), dtype=torch.float64)
        self.metrics = torch.zeros(len(names), metrics, dtype=torch.float64)
        self.task_loss, self.entropy, self.steps = 0.0, 0.0, 0

    def add(
        self,
        group: Sequence[int],
        *,
        task: Tensor,
        losses: Tensor,
        metrics: Tensor,
        coefficients: Tensor,
        entropy: Tensor,
    ) -> None:
        """Take in one optimiser step of the devices in `group`.

        `task`, `losses`, `entropy`: shape (n,), equally many rows a device, device by device; `metrics`:
        shape (n, M - 1); `coefficients`: one a device.
        """
        for name, value in (("loss", losses), ("rows", torch.ones_like(losses)), ("metrics", metrics)):
            sums = value.detach().cpu().double().view(len(group), -1, *value.shape[1:]).sum(1)
            getattr(self, name)[list(group)] += sums
        self.coefficients[list(group)] += coefficients.detach().cpu().double()
        self.task_loss += float(task.sum())
        self.entropy += float(entropy.sum())

    def stats(self, epoch: int, seconds: float, weights: Tensor | None) -> EpochStats:
        """The means; devices that no step was drawn for are left out of `device_loss` and `metrics`.

        `weights`: the devices' of a bank's members, (T, K), if there is one.
        """
        rows = float(self.rows.sum())
        drawn = [t for t in range(len(self.names)) if self.rows[t] > 0]
        return EpochStats(
            epoch=epoch,
            steps=self.steps,
            task_loss=self.task_loss / rows,
            device_loss={self.names[t]: float(self.loss[t] / self.rows[t]) for t in drawn},
            metrics={self.names[t]: (self.metrics[t] / self.rows[t]).tolist() for t in drawn},
            coefficients={
                name: float(c) / self.steps for name, c in zip(self.names, self.coefficients, strict=True)
            },
            entropy=self.entropy / rows,
            seconds=seconds,
            device_spread=None if weights is None else float((weights.amax(0) - weights.amin(0)).max()),
        )
