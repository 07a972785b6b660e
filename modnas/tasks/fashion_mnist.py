"""Fashion-MNIST: 70,000 grey images of 28x28 pixels in ten classes, read from IDX files.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747. IDX: a big-endian header of two zero
bytes, a type byte (8 = unsigned byte), the number of dimensions and one 32-bit size each; then the data.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modnas.tasks.augment import Augment
from modnas.tasks.base import Split, Task, image_task
from modnas.tasks.errors import TaskError, shown
from modnas.tasks.image_arrays import check_images, check_labels, read_all

DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEFAULT_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")  # where that package puts the files
VALID_SHARE = 1 / 6
CLASSES = 10
_FILES = tuple(
    f"{which}-{what}-ubyte" for which in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
_LARGEST = 2**30  # bytes of a file, unpacked; the published ones have 47 million

_UNSIGNED_BYTE = 8
_HINT = f"give its folder with --data-dir or install the Debian package {DEBIAN_PACKAGE}"


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The array in an IDX file of unsigned bytes, plain or gzip (name ends in .gz).

    No more is unpacked than the header says.

    Raises:
        TaskError: unreadable, not IDX, another type or number of dimensions, or not as long as it says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, _UNSIGNED_BYTE, dimensions)):
                raise TaskError(
                    f"{shown(path)} is not an IDX file of unsigned bytes in {dimensions} dimensions"
                )
            shape = struct.unpack(f">{dimensions}I", header[4:])
            expected = math.prod(shape)
            if expected > _LARGEST:
                raise TaskError(f"{shown(path)} is too large: its header says {expected:,} bytes of data")
            # One more than there should be: where there are more, and to have the checksum at the end read.
            data = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"cannot read {shown(path)} ({error})") from error
    if len(data) != expected:
        found = "more" if len(data) > expected else f"{len(data):,}"
        raise TaskError(f"{shown(path)} has {found} bytes of data where its header says {expected:,}")
    return torch.from_numpy(np.frombuffer(data, np.uint8).reshape(shape).copy())


def _find(directory: Path, name: str) -> Path:
    for candidate in (directory / name, directory / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise TaskError(f"no {name}[.gz] in {shown(directory)}")


def _read_file(path: Path) -> Tensor:
    """Images (n, 28, 28) or labels (n,) of one of the four files. Raises TaskError."""
    array = read_idx(path, 3 if "idx3" in path.name else 1)
    if array.dim() == 1:
        check_labels(path, array, CLASSES)
        return array.long()
    if array.shape[1:] != (28, 28) or not len(array):
        raise TaskError(f"{shown(path)} has the shape {tuple(array.shape)}, expected are n images of 28x28")
    check_images(path, array)
    return array


def fashion_mnist(directory: Path | None = None, seed: int = 0, limit: int | None = None) -> Task:
    """50,000 train, 10,000 valid and the official 10,000 test images; `limit` caps train and valid together.

    Raises:
        TaskError: no such folder.
        DamagedDataError: the files are missing from `directory` or damaged.
    """
    directory = directory or DEFAULT_DIRECTORY
    if not directory.is_dir():
        raise TaskError(f"fashion-mnist: no folder {shown(directory)}: {_HINT}")
    paths = read_all("fashion-mnist", _HINT, partial(_find, directory), _FILES)
    arrays = dict(zip(_FILES, read_all("fashion-mnist", _HINT, _read_file, paths), strict=True))

    def pair(prefix: str) -> Split:
        images, labels = (array for name, array in arrays.items() if name.startswith(prefix))
        if len(images) != len(labels):
            raise TaskError(f"the {prefix} files have {len(images):,} images for {len(labels):,} labels")
        return Split(images.unsqueeze(1), labels)

    pool, test = read_all("fashion-mnist", _HINT, pair, ("train", "t10k"))
    unused = [path.name for path in sorted(directory.glob("*-ubyte*")) if path not in paths]
    notes = [f"fashion-mnist: not used: {', '.join(map(shown, unused))}"] if unused else []
    return image_task(
        "fashion-mnist",
        CLASSES,
        pool,
        test,
        valid_share=VALID_SHARE,
        seed=seed,
        limit=limit,
        augmentation=Augment(shift=2, flip=True),
        notes=notes,
    )
