"""What a search, a training and a verification need of a task, whatever its data are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableSet, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from modnas.core.supernetwork import Supernetwork

# Told how many items of how many are done.
Progress = Callable[[int, int], None]


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


@runtime_checkable
class WithFiles(Protocol):
    """A task whose networks an application cannot use alone."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """What it needs beside them: contents by file name."""


class AnyTask(Protocol):
    """Data in three splits, the loss that is trained and the error that is reported.

    `train` fits weights, `valid` drives the upper level of the search, `test` is for verification only. A
    batch is a pair of inputs and targets, tensors whose first dimension is the item.
    """

    @property
    def name(self) -> str:
        """The name in the registry."""

    @property
    def classes(self) -> int:
        """Number of labels, or of tokens: what a network's last dimension has."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch dimension, as a space's networks are built and timed for."""

    @property
    def chance_error(self) -> float:
        """Error of a network that guesses, percent: networks no better than this are dropped."""

    @property
    def validation(self) -> Sequence[tuple[Tensor, Tensor]]:
        """Fixed batches of `valid` on which architectures are compared."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the data is used and what is not, for a person: a line each."""

    def check(self, on_progress: Progress | None = None, known: MutableSet[bytes] | None = None) -> None:
        """Look at all data that were not looked at when the task was made.

        Args:
            known: stamps of files that were found whole before, and need not be looked at again; those of
                files found whole now are added.

        Raises:
            DamagedDataError: some data cannot be used; it names all of them.
        """

    def count(self, splits: tuple[str, ...]) -> int:
        """Number of items in these splits together."""

    def batches(
        self,
        split: str | tuple[str, ...],
        batch_size: int,
        *,
        epoch: int = 0,
        seed: int = 0,
        augment: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over a split, or over several joined, in an order fixed by (seed, epoch, split)."""

    def loss(self, logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy in nats, scalar."""

    def supernetwork_loss(self, supernetwork: Supernetwork) -> TaskLoss:
        """The first objective of a search with weight sharing."""

    def test_error(self, network: nn.Module) -> float:
        """Error on `test` in percent, 0 to 100, lower is better; the network is on the task's device."""

    def judged_on_valid(self) -> AnyTask:
        """The same task with `valid` in place of `test`, for what must not look at the latter."""

    def scored_on(self, count: int) -> AnyTask:
        """The same task with `validation` cut to `count` items. Raises TaskError where that cannot be had."""

    def resized(self, side: int) -> AnyTask:
        """The same task with images of `side` x `side` pixels. Raises TaskError where there are none."""

    def to(self, device: str | torch.device) -> AnyTask:
        """The same task with its tensors on `device`."""
