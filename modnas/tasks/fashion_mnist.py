"""Fashion-MNIST: 70,000 grey images of 28x28 pixels in ten classes, read from IDX files.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747. IDX: a big-endian header of two zero
bytes, a type byte (8 = unsigned byte), the number of dimensions and one 32-bit size each; then the data.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modnas.tasks.augment import Augment
from modnas.tasks.base import Split, Task, TaskError, image_task

DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEFAULT_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")  # where that package puts the files
VALID_SHARE = 1 / 6

_UNSIGNED_BYTE = 8
_MEND = f"give its folder with --data-dir or install the Debian package {DEBIAN_PACKAGE}"


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The array in an IDX file of unsigned bytes, plain or gzip (name ends in .gz).

    Raises:
        TaskError: unreadable, not IDX, another type or number of dimensions, or not as long as it says.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"cannot read {path} ({error}): replace the file") from error
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
        raise TaskError(
            f"{path} is not an IDX file of unsigned bytes in {dimensions} dimensions: replace the file"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    expected = header + int(np.prod(shape, dtype=np.uint64))
    if len(data) != expected:
        raise TaskError(f"{path} has {len(data)} bytes where its header says {expected}: replace the file")
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy())


def _find(directory: Path, name: str) -> Path:
    for candidate in (directory / name, directory / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise TaskError(f"fashion-mnist: no {name}[.gz] in {directory}: {_MEND}")


def _read_pair(directory: Path, prefix: str) -> Split:
    images_path = _find(directory, f"{prefix}-images-idx3-ubyte")
    labels_path = _find(directory, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1).long()
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or not len(labels):
        raise TaskError(
            f"{images_path} has images of shape {tuple(images.shape)} for {len(labels)} labels, "
            "where n 28x28 images for n labels are expected: replace the files"
        )
    if int(labels.max()) > 9:
        raise TaskError(f"{labels_path} has the label {int(labels.max())}, the last is 9: replace the file")
    return Split(images.unsqueeze(1), labels)


def fashion_mnist(directory: Path | None = None, seed: int = 0, limit: int | None = None) -> Task:
    """50,000 train, 10,000 valid and the official 10,000 test images; `limit` caps train and valid together.

    Raises:
        TaskError: the files are missing from `directory` or damaged.
    """
    directory = directory or DEFAULT_DIRECTORY
    if not directory.is_dir():
        raise TaskError(f"fashion-mnist: no folder {directory}: {_MEND}")
    return image_task(
        "fashion-mnist",
        10,
        _read_pair(directory, "train"),
        _read_pair(directory, "t10k"),
        valid_share=VALID_SHARE,
        seed=seed,
        limit=limit,
        augmentation=Augment(shift=2, flip=True),
    )
