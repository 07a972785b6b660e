"""Losses that a search has seen on its way, where asking for one is dear, and a model of them.

A loss belongs to the batch and the weights of its step as much as to its architecture. Of those of one step
the differences count: their logarithms are taken apart into what the step and what the architecture adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modnas.search.refinement import Losses
from modnas.spaces import Architecture, Space

# From distinct architectures and their losses, positive, (n,), a model of the loss of any.
FitLosses = Callable[[Sequence[Architecture], NDArray[np.float64]], Losses]
# So many of the newest are kept: weights change, and the cost of the model grows with the third power.
_KEPT = 1500
_LEAST = 10  # records without which there is no model
# Turns of fitting what steps add and what architectures add.
_TURNS = 2


class Records:
    """Losses of architectures by the step in which they were seen; the newest ones."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.choices = torch.zeros(0, len(space.options), dtype=torch.int16)
        self.losses = torch.zeros(0, dtype=torch.float64)
        self.steps = torch.zeros(0, dtype=torch.int64)

    def add(self, architectures: Sequence[Architecture], losses: Tensor) -> None:
        """Take in what one step has seen: losses (n,), positive. Unusable architectures are left out."""
        usable = [i for i, one in enumerate(architectures) if self.space.is_usable(one)]
        step = int(self.steps[-1]) + 1 if len(self.steps) else 0
        choices = torch.tensor([architectures[i].choices for i in usable], dtype=torch.int16)
        self.choices = torch.cat([self.choices, choices.view(len(usable), -1)])[-_KEPT:]
        self.losses = torch.cat([self.losses, losses.detach().cpu().double()[usable]])[-_KEPT:]
        self.steps = torch.cat([self.steps, torch.full((len(usable),), step)])[-_KEPT:]

    @property
    def enough(self) -> bool:
        """Whether there is enough for a model."""
        return len(self.losses) >= _LEAST and bool((self.choices != self.choices[:1]).any())

    def model(self, fit: FitLosses) -> tuple[Losses, tuple[float, float]]:
        """A model of the loss, and the smallest and largest that it gives architectures that were seen."""
        values = self.losses.clamp(min=1e-9).log().numpy()
        steps = np.unique(self.steps.numpy(), return_inverse=True)[1]
        rows, owners = np.unique(self.choices.numpy(), axis=0, return_inverse=True)
        owners = owners.reshape(-1)
        seen = [self.space.architecture(row.tolist()) for row in rows]
        expected = np.full(len(values), values.mean())
        for _ in range(_TURNS):
            of_step = _means(values - expected, steps)
            by_architecture = np.exp(_means(values - of_step[steps], owners))
            losses = fit(seen, by_architecture)
            smooth = losses(seen)
            expected = np.log(smooth)[owners]
        return losses, (float(smooth.min()), float(smooth.max()))

    def checkpoint(self, prefix: str) -> dict[str, Tensor]:
        """The records as named tensors, copied."""
        parts = {"choices": self.choices, "losses": self.losses, "steps": self.steps}
        return {f"{prefix}.{name}": part.clone() for name, part in parts.items()}

    def restore(self, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        """Load what `checkpoint` gave."""
        self.choices, self.losses, self.steps = (
            tensors[f"{prefix}.{name}"].clone() for name in ("choices", "losses", "steps")
        )


def _means(values: NDArray[np.float64], owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the values of each owner, by its number."""
    found: NDArray[np.float64] = np.bincount(owners, values) / np.bincount(owners)
    return found
