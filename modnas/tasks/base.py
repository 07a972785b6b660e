"""A task: images with labels in three splits, the loss that is trained and the error that is reported."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, MutableSet, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from modnas.core.task import Progress, TaskLoss
from modnas.spaces import Supernetwork
from modnas.tasks.errors import TaskError
from modnas.tasks.image_arrays import notes_of_arrays
from modnas.tasks.weight_sharing import SupernetworkLoss

SPLITS = ("train", "valid", "test")

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def split_names(split: str | Sequence[str]) -> tuple[str, ...]:
    """One name of a split, or several, as a tuple. Raises ValueError for an unknown one, and for none."""
    names = (split,) if isinstance(split, str) else tuple(split)
    if not names:
        raise ValueError("no split given")
    for name in names:
        if name not in SPLITS:
            raise ValueError(f"no split {name!r}: it is one of {', '.join(SPLITS)}")
    return names


class Split(NamedTuple):
    """Images of shape (n, channels, height, width), float32 and normalised; labels (n,), int64."""

    inputs: Tensor
    targets: Tensor


class Classification(ABC):
    """What tasks with one label an item have in common, wherever the items come from."""

    classes: int

    @property
    @abstractmethod
    def validation(self) -> Sequence[tuple[Tensor, Tensor]]:
        """Fixed batches of `valid` on which architectures are compared."""

    def check(self, on_progress: Progress | None = None, known: MutableSet[bytes] | None = None) -> None:
        """Nothing is left to look at where everything was read when the task was made."""
        return

    @property
    def chance_error(self) -> float:
        """Error of guessing, percent."""
        return 100.0 * (1.0 - 1.0 / self.classes)

    def loss(self, logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy in nats, scalar. `logits`: (n, classes)."""
        return cross_entropy(logits, targets, label_smoothing=label_smoothing)

    def supernetwork_loss(self, supernetwork: Supernetwork) -> TaskLoss:
        """Cross-entropy; share of validation labels that are wrong."""
        return SupernetworkLoss(supernetwork, self.validation)

    def error(self, logits: Tensor, targets: Tensor) -> float:
        """Share of wrong labels in percent, 0 to 100; lower is better. `logits`: (n, classes)."""
        return 100.0 * float((logits.argmax(dim=1) != targets).float().mean())


@dataclass(frozen=True)
class Task(Classification):
    """A classification task whose images fit in memory.

    `train` fits weights, `valid` drives the upper level of the search, `test` is for verification only.

    Args:
        name: the name in the registry.
        classes: number of labels.
        scored: how many images of `valid` architectures are compared on; None: all.
        augmentation: maps a batch of images and a CPU generator to images of the same shape.
        notes: what of the data is used and what is not, for a person, a line each.
    """

    name: str
    classes: int
    train: Split
    valid: Split
    test: Split
    augmentation: Augmentation | None = None
    scored: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, channels, height, width = self.train.inputs.shape
        return channels, height, width

    @property
    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """The first `scored` images of `valid` as one batch; classes have their share in them."""
        return [Split(*(part[: self.scored] for part in self.valid))]

    def split(self, name: str) -> Split:
        """The split called train, valid or test. Raises ValueError."""
        (known,) = split_names(name)
        found: Split = getattr(self, known)
        return found

    def joined(self, names: tuple[str, ...]) -> Split:
        """These splits as one. Raises ValueError if there is none or one has an unknown name."""
        parts = [self.split(name) for name in split_names(names)]
        return parts[0] if len(parts) == 1 else Split(*(torch.cat(p) for p in zip(*parts, strict=True)))

    def count(self, splits: tuple[str, ...]) -> int:
        """Number of images in these splits together."""
        return len(self.joined(splits).targets)

    def batches(
        self,
        split: str | tuple[str, ...],
        batch_size: int,
        *,
        epoch: int = 0,
        seed: int = 0,
        augment: bool = False,
    ) -> Iterator[Split]:
        """One pass over a split, or over several joined, in an order fixed by (seed, epoch, split).

        Batches differ by at most one image in size and never exceed `batch_size`: a last batch of one or
        two images would spoil batch statistics. `augment` applies the task's augmentation if it has one.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        names = split_names(split)
        data = self.joined(names)
        generator = seeded_generator(seed, epoch, *(SPLITS.index(name) for name in names))
        count = len(data.targets)
        order = torch.randperm(count, generator=generator).to(data.targets.device)
        for chosen in torch.tensor_split(order, math.ceil(count / batch_size)):
            inputs = data.inputs[chosen]
            if augment and self.augmentation is not None:
                inputs = self.augmentation(inputs, generator)
            yield Split(inputs, data.targets[chosen])

    def scored_on(self, count: int) -> Task:
        """The same task with architectures compared on fewer images."""
        return replace(self, scored=count)

    def judged_on_valid(self) -> Task:
        """The same task with `valid` in place of `test`."""
        return replace(self, test=self.valid)

    def resized(self, side: int) -> Task:
        """The same task with its images scaled bilinearly to `side` x `side` pixels."""

        def scaled(split: Split) -> Split:
            inputs = interpolate(split.inputs, size=(side, side), mode="bilinear", antialias=True)
            return Split(inputs, split.targets)

        return replace(self, train=scaled(self.train), valid=scaled(self.valid), test=scaled(self.test))

    def to(self, device: str | torch.device) -> Task:
        """The same task with its tensors on `device`."""
        train, valid, test = (Split(*(t.to(device) for t in self.split(name))) for name in SPLITS)
        return replace(self, train=train, valid=valid, test=test)

    @torch.no_grad()
    def test_error(self, network: nn.Module, batch_size: int = 512) -> float:
        """Wrong labels on the test split in percent; the network is on the task's device."""
        network.eval()
        wrong = 0.0
        for inputs, targets in zip(*(torch.split(t, batch_size) for t in self.test), strict=True):
            wrong += self.error(network(inputs), targets) * len(targets)
        return wrong / len(self.test.targets)


def seeded_generator(*numbers: int) -> torch.Generator:
    """A CPU generator for a tuple of non-negative integers; different tuples give unrelated streams."""
    # The count comes first because SeedSequence takes (0, 1) and (0, 1, 0) for the same.
    state = np.random.SeedSequence((len(numbers), *numbers)).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """A random order of the items in which every prefix has each class in its share. Shape (n,), int64."""
    generator = seeded_generator(seed)
    position = torch.empty(len(labels), dtype=torch.float64)
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).flatten()
        ranks = torch.randperm(len(members), generator=generator)
        jitter = torch.rand(len(members), generator=generator, dtype=torch.float64)
        position[members] = (ranks + jitter) / len(members)
    return position.argsort()


def image_task(
    name: str,
    classes: int,
    pool: Split,
    test: Split,
    *,
    valid_share: float,
    seed: int,
    limit: int | None,
    augmentation: Augmentation | None = None,
    notes: Sequence[str] = (),
) -> Task:
    """Divide training images into train and valid and normalise all three splits.

    Args:
        pool: training images uint8 (n, channels, height, width) and labels; cut to `limit` images, each
            class in its share, before it is divided. Divided by `seed`.
        test: test images and labels in the same form, never cut.
        valid_share: part of the pool that becomes `valid`.
        notes: of where the images are from; what is used of them is added.

    Mean and standard deviation a channel are those of `train`. Raises TaskError where there is no deviation.
    """
    if limit is not None and limit < 2 * classes:
        raise TaskError(f"{name}: limit {limit} is too small, give at least {2 * classes} (two a class)")
    order = stratified_order(pool.targets, seed)[:limit]
    valid_count = round(valid_share * len(order))
    chosen, held_out = order[: len(order) - valid_count], order[len(order) - valid_count :]

    pixels = pool.inputs[chosen].float()
    mean = pixels.mean(dim=(0, 2, 3), keepdim=True)
    std = pixels.std(dim=(0, 2, 3), keepdim=True)
    if not bool((std > 0).all()):
        raise TaskError(f"{name}: all pixels to train with are the same in a channel: give other images")
    used = {"train": pool.targets[chosen], "valid": pool.targets[held_out], "test": test.targets}
    return Task(
        name,
        classes,
        train=Split((pixels - mean) / std, pool.targets[chosen]),
        valid=Split((pool.inputs[held_out].float() - mean) / std, pool.targets[held_out]),
        test=Split((test.inputs.float() - mean) / std, test.targets),
        augmentation=augmentation,
        notes=(*notes_of_arrays(name, classes, pool, test, used), *notes),
    )
