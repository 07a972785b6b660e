"""Images and labels out of files of bytes: all that is wrong with them, and what they hold, in words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from modnas.tasks.errors import DamagedDataError, TaskError, shown

Images = tuple[Tensor, Tensor]  # uint8 (n, ...) and their labels (n,)
Place = TypeVar("Place")
Found = TypeVar("Found")


def read_all(task: str, hint: str, read: Callable[[Place], Found], places: Iterable[Place]) -> list[Found]:
    """What `read` gives of each place. Raises DamagedDataError for all at which it raises TaskError."""
    found, problems = [], []
    for place in places:
        try:
            found.append(read(place))
        except TaskError as error:
            problems.append(str(error))
    if problems:
        raise DamagedDataError(f"{task}:", problems, f"replace the files, or {hint}")
    return found


def check_labels(path: Path, labels: Tensor, classes: int) -> None:
    """Raises TaskError for labels (n,) that are not below `classes`."""
    if wrong := int((labels >= classes).sum()):
        first = int((labels >= classes).nonzero()[0])
        raise TaskError(
            f"{shown(path)} has the label {int(labels[first])} (image {first + 1:,}, in all {wrong:,} such "
            f"labels), the last is {classes - 1}"
        )


def check_images(path: Path, images: Tensor) -> None:
    """Raises TaskError where all of several images (n, ...) are the same: the file was never filled."""
    if len(images) > 1 and bool((images == images[0]).all()):
        raise TaskError(f"{shown(path)} has {len(images):,} times the same image")


def notes_of_arrays(
    name: str, classes: int, pool: Images, test: Images, used: dict[str, Tensor]
) -> list[str]:
    """What a person should know of images, a line each.

    Args:
        pool: those that train and valid are taken from.
        used: labels of the splits as they are used.
    """
    counts = ", ".join(f"{len(labels):,} {split}" for split, labels in used.items())
    notes = [f"{name}: images: {counts}"]
    if beyond := len(pool[1]) - len(used["train"]) - len(used["valid"]):
        notes.append(f"{name}: images to train with beyond the limit not used: {beyond:,}")
    for split, labels in used.items():
        if without := sorted({*range(classes)} - {*labels.tolist()}):
            notes.append(f"{name}: no image in {split} of the classes {', '.join(map(str, without))}")
    known = _digests(pool[0])
    if more := len(known) - len({*known}):
        notes.append(f"{name}: images to train with that are there already: {more:,}")
    if leaked := len({*known} & {*_digests(test[0])}):
        notes.append(f"{name}: images of test that are also trained on: {leaked:,}")
    return notes


def _digests(images: Tensor) -> list[bytes]:
    rows = images.contiguous().flatten(1).numpy()
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
