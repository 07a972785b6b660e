"""A task without its data: for searches on accuracies that others published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn

from modnas.tasks.base import Classification
from modnas.tasks.errors import TaskError


@dataclass(frozen=True)
class PublishedTask(Classification):
    """What is known of a task: nothing can be trained or tested on it.

    Args:
        name: the name in the registry.
        classes: number of labels.
        input_shape: (channels, height, width) of one image.
        items: number of images of `train`, `valid` and `test`.
    """

    name: str
    classes: int
    input_shape: tuple[int, ...]
    items: tuple[int, int, int]

    @property
    def notes(self) -> tuple[str, ...]:
        """One line."""
        return (f"{self.name}: no data are read; accuracies are published ones",)

    @property
    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """None."""
        return []

    def count(self, splits: tuple[str, ...]) -> int:
        """Number of images in these splits together."""
        return sum(dict(zip(("train", "valid", "test"), self.items, strict=True))[split] for split in splits)

    def batches(
        self,
        split: str | tuple[str, ...],
        batch_size: int,
        *,
        epoch: int = 0,
        seed: int = 0,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Raises TaskError."""
        self._refuse()

    def test_error(self, network: nn.Module) -> float:
        """Raises TaskError."""
        self._refuse()

    def judged_on_valid(self) -> PublishedTask:
        """Itself."""
        return self

    def scored_on(self, count: int) -> PublishedTask:
        """Itself."""
        return self

    def resized(self, side: int) -> PublishedTask:
        """Raises TaskError unless this is the size."""
        if side != self.input_shape[-1]:
            raise TaskError(f"{self.name}: published accuracies are not of images of {side} pixels a side")
        return self

    def to(self, device: str | torch.device) -> PublishedTask:
        """Itself."""
        return self

    def _refuse(self) -> NoReturn:
        raise TaskError(f"{self.name}: nothing can be trained without its data: give their folder")


# As NAS-Bench-201 divides them.
PUBLISHED = {"cifar10": PublishedTask("cifar10", 10, (3, 32, 32), (25_000, 25_000, 10_000))}
