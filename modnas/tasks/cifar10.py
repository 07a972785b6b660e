"""CIFAR-10: colour images of 32x32 pixels in ten classes, read from the binary version.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A record is one label
byte and 3,072 pixel bytes: 32 rows of 32 for red, then green, then blue.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from modnas.core.bounded import TooLargeError, check_file
from modnas.tasks.augment import Augment
from modnas.tasks.base import Split, Task, image_task
from modnas.tasks.errors import TaskError, shown
from modnas.tasks.image_arrays import check_images, check_labels, read_all

FOLDER = "cifar-10-batches-bin"
RECORD = 1 + 3 * 32 * 32
VALID_SHARE = 0.5  # as NAS-Bench-201 divides CIFAR-10
CLASSES = 10
# The published files: five to train with, and one to test, each with so many images.
_BATCHES, _IMAGES = tuple(f"data_batch_{n}.bin" for n in range(1, 6)), 10_000
_LARGEST = 1 << 30  # bytes of a file; the published ones have 31 million
_BATCH = re.compile(r"data_batch_\d+\.bin")


def read_batch(path: Path) -> Split:
    """Images uint8 (n, 3, 32, 32) and labels of one .bin file. Raises TaskError: damaged, or too large."""
    try:
        check_file(path, _LARGEST)
        data = path.read_bytes()
    except TooLargeError as error:
        raise TaskError(str(error)) from error
    except OSError as error:
        raise TaskError(f"cannot read {shown(path)} ({error.strerror or error})") from error
    if not data or len(data) % RECORD:
        raise TaskError(f"{shown(path)} has {len(data)} bytes, not a multiple of the record of {RECORD}")
    records = torch.from_numpy(np.frombuffer(data, np.uint8).reshape(-1, RECORD).copy())
    labels = records[:, 0].long()
    images = records[:, 1:].reshape(-1, 3, 32, 32)
    check_labels(path, labels, CLASSES)
    check_images(path, images)
    return Split(images, labels)


def cifar10(directory: Path | None = None, seed: int = 0, limit: int | None = None) -> Task:
    """All data_batch_<number>.bin found, half train and half valid, and test_batch.bin.

    Args:
        directory: the folder of the files, or the one that holds `cifar-10-batches-bin`.
        limit: caps train and valid together.

    Raises:
        TaskError: no directory given, or files are missing.
        DamagedDataError: files are damaged.
    """
    hint = "give the folder of the CIFAR-10 binary version with --data-dir"
    if directory is None:
        raise TaskError(f"cifar10: no data folder: {hint}")
    if (directory / FOLDER).is_dir():
        directory = directory / FOLDER
    found = sorted(path for path in directory.glob("data_batch_*.bin") if path.is_file())
    batches = [path for path in found if _BATCH.fullmatch(path.name)]
    test = directory / "test_batch.bin"
    if not batches or not test.is_file():
        missing = "test_batch.bin" if batches else "data_batch_*.bin"
        raise TaskError(f"cifar10: no {missing} in {shown(directory)}: {hint}")
    *parts, tested = read_all("cifar10", hint, read_batch, [*batches, test])
    lengths = dict(zip([*batches, test], [len(part.targets) for part in [*parts, tested]], strict=True))
    return image_task(
        "cifar10",
        CLASSES,
        Split(torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts])),
        tested,
        valid_share=VALID_SHARE,
        seed=seed,
        limit=limit,
        augmentation=Augment(shift=4, flip=True, cutout=16),
        notes=_notes({path.name: count for path, count in lengths.items()}, {path.name for path in found}),
    )


def _notes(lengths: dict[str, int], found: set[str]) -> list[str]:
    """In what the files differ from those that are published. `lengths`: images of each file that is read."""
    notes = []
    if missing := [name for name in _BATCHES if name not in lengths]:
        notes.append(f"cifar10: not there: {', '.join(missing)}")
    if more := [name for name in lengths if name not in (*_BATCHES, "test_batch.bin")]:
        notes.append(f"cifar10: read besides the five published: {', '.join(more)}")
    if unused := sorted(found - {*lengths}):
        notes.append(f"cifar10: not used: {', '.join(map(shown, unused))}")
    if other := [f"{name} ({count:,})" for name, count in lengths.items() if count != _IMAGES]:
        notes.append(f"cifar10: other than {_IMAGES:,} images in {', '.join(other)}")
    return notes
