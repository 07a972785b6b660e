"""The task of people's own images: decoded when a batch asks for them, for they need not fit in memory.

`image_listing` has the layout of the folder, ImageNet's.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, MutableSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from modnas.core.task import Progress
from modnas.tasks.base import (
    SPLITS,
    Classification,
    Split,
    seeded_generator,
    split_names,
    stratified_order,
)
from modnas.tasks.errors import DamagedDataError, TaskError, shown
from modnas.tasks.image_check import flaws
from modnas.tasks.image_decoding import DRAWS, decode
from modnas.tasks.image_listing import HINT, Files, Listing, divided, read_folder, written_alike

SIDE = 224
VALID_SHARE = 0.2
# Validation images on which architectures are compared unless told: they stay in memory, decoded.
_SCORED = 1000
_BATCH = 128
# So many images beyond a limit are looked at nevertheless: it takes seconds. More are left alone.
_UNUSED = 5000


@dataclass(frozen=True)
class ImageFolderTask(Classification):
    """A `modnas.core.task.AnyTask`; see there.

    Args:
        name: the name in the registry.
        classes: number of labels.
        valid: in stratified order: every prefix has the classes in their shares.
        side: pixels a side that images are cut and scaled to.
        scored: how many images of `valid` architectures are compared on.
        workers: threads that decode; what comes out does not depend on it. (Pillow decodes and scales without
            the interpreter's lock.)
        device: where batches are put.
        notes: what of the folder is used and what is not.
        unused: images that a limit leaves out; `check` looks at them as well, for another limit, or a file
            less in the folder, chooses others.
    """

    name: str
    classes: int
    train: Files
    valid: Files
    test: Files
    side: int = SIDE
    scored: int = _SCORED
    workers: int = os.cpu_count() or 1
    device: str | torch.device = "cpu"
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return 3, self.side, self.side

    @cached_property
    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """The first `scored` images of `valid`, cut from their centres; classes have their share in them."""
        count = min(self.scored, len(self.valid.paths))
        return list(self._decoded(self.valid, _chunks(torch.arange(count), _BATCH)))

    def split(self, name: str) -> Files:
        """The split called train, valid or test. Raises ValueError."""
        (known,) = split_names(name)
        found: Files = getattr(self, known)
        return found

    def joined(self, names: tuple[str, ...]) -> Files:
        """These splits as one. Raises ValueError if there is none or one has an unknown name."""
        parts = [self.split(name) for name in split_names(names)]
        paths = [path for part in parts for path in part.paths]
        return Files(paths, torch.cat([part.targets for part in parts]))

    def count(self, splits: tuple[str, ...]) -> int:
        """Number of images in these splits together."""
        return sum(len(self.split(name).paths) for name in splits)

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

        Batches differ by at most one image in size and never exceed `batch_size`. With `augment` images are
        random parts, mirrored half of the time; without, their central squares.

        Raises:
            TaskError: an image that cannot be read, at the batch that it belongs to.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        names = split_names(split)
        files = self.joined(names)
        generator = seeded_generator(seed, epoch, *(SPLITS.index(name) for name in names))
        order = torch.randperm(len(files.paths), generator=generator)
        draws = torch.rand(len(order), DRAWS, generator=generator) if augment else None
        yield from self._decoded(files, _chunks(order, batch_size), draws)

    def check(self, on_progress: Progress | None = None, known: MutableSet[bytes] | None = None) -> None:
        """Decode every image once. Raises DamagedDataError, which names all that cannot be.

        `known`: see `image_check.flaws`.
        """
        paths = {*self.train.paths, *self.valid.paths, *self.test.paths}
        if len(self.unused) <= _UNUSED:
            paths |= {*self.unused}
        if found := flaws(sorted(paths), self.workers, on_progress, known):
            head = f"image-folder: cannot read {len(found):,} of {len(paths):,} images:"
            raise DamagedDataError(head, found, "replace or remove these files")

    def _decoded(
        self, files: Files, chunks: tuple[Tensor, ...], draws: Tensor | None = None
    ) -> Iterator[Split]:
        """Batches of the items with these indices, decoded a few batches ahead of their use.

        `draws`: (n, DRAWS), the random numbers of each item; None: not augmented.
        """

        def read(rows: Tensor) -> Tensor:
            numbers = [None] * len(rows) if draws is None else draws[rows].tolist()
            images = [
                decode(files.paths[row], self.side, drawn)
                for row, drawn in zip(rows.tolist(), numbers, strict=True)
            ]
            return torch.from_numpy(np.stack(images))

        pool = ThreadPoolExecutor(self.workers)
        waiting: deque[tuple[Tensor, Future[Tensor]]] = deque()
        left = iter(chunks)
        try:
            # One batch more than there are threads: none of them waits while a batch is used.
            while True:
                while len(waiting) <= self.workers and (rows := next(left, None)) is not None:
                    waiting.append((rows, pool.submit(read, rows)))
                if not waiting:
                    return
                rows, images = waiting.popleft()
                yield Split(images.result().to(self.device), files.targets[rows].to(self.device))
        finally:  # also where the caller wants no more batches
            pool.shutdown(cancel_futures=True)

    @torch.no_grad()
    def test_error(self, network: nn.Module) -> float:
        """Wrong labels on the test split in percent; the network is on the task's device."""
        network.eval()
        count = len(self.test.paths)
        wrong = 0.0
        for inputs, targets in self._decoded(self.test, _chunks(torch.arange(count), _BATCH)):
            wrong += self.error(network(inputs), targets) * len(targets)
        return wrong / count

    def judged_on_valid(self) -> ImageFolderTask:
        """The same task with `valid` in place of `test`."""
        return replace(self, test=self.valid)

    def scored_on(self, count: int) -> ImageFolderTask:
        """The same task with architectures compared on this many images."""
        return replace(self, scored=count)

    def resized(self, side: int) -> ImageFolderTask:
        """The same task with images scaled to `side` x `side` pixels, from the files."""
        return replace(self, side=side)

    def to(self, device: str | torch.device) -> ImageFolderTask:
        """The same task with its batches on `device`."""
        return replace(self, device=device)


def _chunks(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    return torch.tensor_split(rows, math.ceil(len(rows) / size))


def image_folder(directory: Path | None = None, seed: int = 0, limit: int | None = None) -> ImageFolderTask:
    """The images of a folder; a fifth of those to train with becomes valid.

    Args:
        directory: laid out as `image_listing` says.
        seed: divides train from valid.
        limit: caps train and valid together, each class in its share.

    Raises:
        TaskError: no such folder, fewer than two classes or too few images of some, classes of the test
            images that are not those of train. Images are opened by `ImageFolderTask.check` only.
    """
    if directory is None:
        raise TaskError(f"image-folder: no data folder: {HINT}")
    try:
        listing = read_folder(directory)
    except OSError as error:
        place = shown(error.filename or directory)
        raise TaskError(f"image-folder: cannot list {place} ({error.strerror}): {HINT}") from error
    classes, pool, test = len(listing.classes), listing.pool, listing.test
    unused: tuple[str, ...] = ()
    if limit is not None:
        least = 2 * classes
        if limit < least:
            raise TaskError(f"image-folder: limit {limit} is too small, give at least {least} (two a class)")
        order = stratified_order(pool.targets, seed)
        pool, unused = pool.pick(order[:limit]), tuple(pool.pick(order[limit:]).paths)
    train, valid = divided(pool, VALID_SHARE, seed)
    task = ImageFolderTask("image-folder", classes, train, valid, test, unused=unused)
    return replace(task, notes=_notes(task, listing))


def _notes(task: ImageFolderTask, listing: Listing) -> tuple[str, ...]:
    """What is used and what is not, a line each."""
    counts = ", ".join(f"{task.count((split,)):,} {split}" for split in SPLITS)
    notes = [f"image-folder: {task.classes} classes; images: {counts} ({listing.origin})"]
    images = [*listing.pool.paths, *listing.test.paths]
    flat = len(listing.left_out.root.parts) + 2  # separators in DIR/train/<class>/<image>
    if deeper := sum(path.count(os.sep) > flat for path in images):
        notes.append(
            f"image-folder: images in folders below those of the classes: {deeper:,} of {len(images):,}"
        )
    left_out = listing.left_out.kinds()
    if task.unused:
        unseen = ", and not looked at" if len(task.unused) > _UNUSED else ""
        left_out.insert(0, f"{len(task.unused):,} images to train with beyond the limit{unseen}")
    if left_out:
        notes.append(f"image-folder: not used: {', '.join(left_out)}")
    if alike := written_alike(listing.classes):
        notes.append(f"image-folder: classes that differ only in how they are written: {', '.join(alike)}")
    return tuple(notes)
