"""Accuracies by weight sharing: what a supernetwork says of architectures on validation data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modnas.accuracy.evaluated import expect
from modnas.accuracy.surrogate import fit_surrogate
from modnas.core.space import Space
from modnas.core.supernetwork import Supernetwork
from modnas.core.task import TaskLoss
from modnas.spaces import Architecture


def fit_losses(
    space: Space, architectures: Sequence[Architecture], losses: NDArray[np.float64]
) -> Callable[[Sequence[Architecture]], NDArray[np.float64]]:
    """A model of the loss of any architecture, (n,), from those of some that are usable, positive."""
    surrogate = fit_surrogate(space, architectures, losses, chance=float(losses.max()))
    return partial(expect, surrogate)


@dataclass(frozen=True)
class SharedWeights:
    """The task's loss with a supernetwork's present weights.

    Args:
        task_loss: the search's first objective.
        validation: fixed batches on which architectures are compared.
        accelerator: where the supernetwork is.
    """

    space: Space
    task_loss: TaskLoss
    supernetwork: Supernetwork
    validation: Iterable[Any]
    accelerator: str = "cpu"

    @torch.no_grad()
    def losses(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Validation losses, (n,).

        The loss, not the error: where networks make few mistakes it still tells them apart.
        """
        self.supernetwork.eval()  # dropout would tell architectures apart by chance
        samples = self.space.encode(architectures).to(self.accelerator)
        batches = list(self.validation)
        return np.array(
            [fmean(float(self.task_loss.loss(sample, batch)) for batch in batches) for sample in samples]
        )

    def errors(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Validation errors in percent, (n,)."""
        samples = self.space.encode(architectures).to(self.accelerator)
        return np.array([self.task_loss.error(sample) for sample in samples])
