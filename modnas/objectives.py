"""What a search minimises: the task's loss, the devices' metrics, and the scalarised loss of a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from modnas.spaces import Supernetwork


@dataclass(frozen=True)
class SearchDevice:
    """A device as the search sees it; M is the number of objectives, the task's loss included.

    Args:
        name: unique among the devices of a search.
        features: the device's feature vector, shape (D,).
        predict: one-hot samples (n, width) -> hardware metrics (n, M - 1) in physical units, to be minimised,
            differentiable in the samples.
        low: smallest value of each metric over a sample of the space on this device, shape (M - 1,).
        high: largest value, shape (M - 1,).
    """

    name: str
    features: Tensor
    predict: Callable[[Tensor], Tensor]
    low: Tensor
    high: Tensor


class TaskLoss(Protocol):
    """The first objective. A supernetwork gives it, or any model fitted to accuracies."""

    def loss(self, sample: Tensor, batch: Any) -> Tensor:
        """Loss of one architecture on a batch: a scalar to minimise, differentiable in `sample` (width,)."""

    def error(self, sample: Tensor) -> float:
        """Error of one architecture on fixed validation data, percent, for choosing among fronts."""


@runtime_checkable
class BatchedTaskLoss(TaskLoss, Protocol):
    """A task loss that takes many architectures at once more cheaply than one by one."""

    def losses(self, samples: Tensor, batch: Any) -> Tensor:
        """`loss` of each row: (n, width) -> (n,), each depending on its own row only."""


class SupernetworkLoss:
    """Task loss by weight sharing.

    Args:
        supernetwork: its weights are trained by the search's lower level.
        evaluation: fixed (inputs, targets) batches for `error`.
        criterion: (outputs, targets) -> scalar loss.
    """

    def __init__(
        self,
        supernetwork: Supernetwork,
        evaluation: Sequence[tuple[Tensor, Tensor]],
        criterion: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    ) -> None:
        self.supernetwork, self.evaluation, self.criterion = supernetwork, evaluation, criterion

    def loss(self, sample: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The criterion on an (inputs, targets) batch."""
        inputs, targets = batch
        return self.criterion(self.supernetwork(inputs, sample), targets)

    @torch.no_grad()
    def error(self, sample: Tensor) -> float:
        """Share of the evaluation's targets that the highest output misses, percent."""
        missed, total = 0, 0
        training = self.supernetwork.training
        self.supernetwork.eval()
        for inputs, targets in self.evaluation:
            missed += int((self.supernetwork(inputs, sample).argmax(-1) != targets).sum())
            total += targets.numel()
        self.supernetwork.train(training)
        return 100 * missed / total


def apply_constraints(metrics: Tensor, constraints: Sequence[float | None]) -> Tensor:
    """User priors: normalised hardware metrics (n, M - 1), without gradient where they are satisfied.

    `constraints[m]` is the bound of metric m in [0, 1], None for no bound: 0 optimises the metric wherever it
    is above its minimum, 1 leaves only the others.
    """
    if not any(bound is not None for bound in constraints):
        return metrics
    bounds = metrics.new_tensor([-torch.inf if bound is None else bound for bound in constraints])
    return torch.where(metrics.detach() <= bounds, metrics.detach(), metrics)


def scalarise(objectives: Tensor, preferences: Tensor, cosine_penalty: float) -> Tensor:
    """sum_m r_m L_m - penalty * cos(r, L) of normalised objectives (n, M), preferences (n, M) -> (n,).

    The cosine pulls the objectives toward the ray of the preference (Ruchte and Grabocka, 2021). Its gradient
    grows like 1 / || L || toward the ideal point; the floor on the norm keeps that from taking over.
    """
    alignment = cosine_similarity(preferences, objectives, dim=1, eps=0.01)
    return (preferences * objectives).sum(1) - cosine_penalty * alignment
