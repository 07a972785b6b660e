"""CIFAR-10: colour images of 32x32 pixels in ten classes, read from the binary version.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A record is one label
byte and 3,072 pixel bytes: 32 rows of 32 for red, then green, then blue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from modnas.tasks.augment import Augment
from modnas.tasks.base import Split, Task, TaskError, image_task

FOLDER = "cifar-10-batches-bin"
RECORD = 1 + 3 * 32 * 32
VALID_SHARE = 0.5  # as NAS-Bench-201 divides CIFAR-10


def read_batch(path: Path) -> Split:
    """Images uint8 (n, 3, 32, 32) and labels of one .bin file. Raises TaskError if it is damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TaskError(f"cannot read {path} ({error}): replace the file") from error
    if not data or len(data) % RECORD:
        raise TaskError(
            f"{path} has {len(data)} bytes, not a multiple of the record of {RECORD}: replace the file"
        )
    records = torch.from_numpy(np.frombuffer(data, np.uint8).reshape(-1, RECORD).copy())
    labels = records[:, 0].long()
    if int(labels.max()) > 9:
        raise TaskError(f"{path} has the label {int(labels.max())}, the last is 9: replace the file")
    return Split(records[:, 1:].reshape(-1, 3, 32, 32), labels)


def cifar10(directory: Path | None = None, seed: int = 0, limit: int | None = None) -> Task:
    """All data_batch_*.bin found, half train and half valid, and test_batch.bin.

    Args:
        directory: the folder of the files, or the one that holds `cifar-10-batches-bin`.
        limit: caps train and valid together.

    Raises:
        TaskError: no directory given, files missing or damaged.
    """
    mend = "give the folder of the CIFAR-10 binary version with --data-dir"
    if directory is None:
        raise TaskError(f"cifar10: no data folder: {mend}")
    if (directory / FOLDER).is_dir():
        directory = directory / FOLDER
    batches = sorted(directory.glob("data_batch_*.bin"))
    test = directory / "test_batch.bin"
    if not batches or not test.is_file():
        missing = "test_batch.bin" if batches else "data_batch_*.bin"
        raise TaskError(f"cifar10: no {missing} in {directory}: {mend}")
    parts = [read_batch(path) for path in batches]
    return image_task(
        "cifar10",
        10,
        Split(torch.cat([p.inputs for p in parts]), torch.cat([p.targets for p in parts])),
        read_batch(test),
        valid_share=VALID_SHARE,
        seed=seed,
        limit=limit,
        augmentation=Augment(shift=4, flip=True, cutout=16),
    )
