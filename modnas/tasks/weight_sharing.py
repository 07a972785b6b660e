"""The task's loss by weight sharing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from modnas.core.supernetwork import Supernetwork


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
