"""The files that a task is made of: what its content is, wherever it lies.

A file that is missing is left out: saying so is up to the task itself, and to whoever compares listings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from modnas.tasks import cifar10, fashion_mnist, image_listing, parallel_text
from modnas.tasks.base import TaskError


class DataFiles(NamedTuple):
    """Files `root / name`, sorted by name.

    `reading`: what besides names and contents decides what is read of them, in words.
    """

    root: Path
    names: list[str]
    reading: str = ""


def data_files(task: str, data_dir: Path | None = None) -> DataFiles:
    """The files that `get_task(task, data_dir)` reads, of all its splits.

    Raises TaskError where there is no task of this name, or a folder cannot be listed.
    """
    if task not in _FILES:
        raise TaskError(f"no task {task!r}: it is one of {', '.join(_FILES)}")
    try:
        return _FILES[task](data_dir)
    except OSError as error:
        raise TaskError(f"{task}: cannot list {error.filename} ({error.strerror})") from error


def _digits(_data_dir: Path | None) -> DataFiles:
    found = find_spec("sklearn")  # without importing it, which is slow
    places = (found and found.submodule_search_locations) or ["sklearn"]
    return DataFiles(Path(places[0], "datasets", "data"), ["digits.csv.gz"])


def _fashion_mnist(data_dir: Path | None) -> DataFiles:
    root = data_dir or fashion_mnist.DEFAULT_DIRECTORY
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    stems = [f"{split}-{kind}" for split in ("t10k", "train") for kind in kinds]
    names = []
    for stem in stems:  # the plain file is preferred, as when they are read
        names += [name for name in (stem, f"{stem}.gz") if (root / name).is_file()][:1]
    return DataFiles(root, names)


def _cifar10(data_dir: Path | None) -> DataFiles:
    root = data_dir or Path()
    if data_dir is not None and (data_dir / cifar10.FOLDER).is_dir():
        root = data_dir / cifar10.FOLDER
    paths = [*root.glob("data_batch_*.bin"), root / "test_batch.bin"] if data_dir is not None else []
    return DataFiles(root, sorted(path.name for path in paths if path.is_file()))


def _image_folder(data_dir: Path | None) -> DataFiles:
    """All splits that there are, also one that the task does without: a folder is one data set."""
    if data_dir is None:
        return DataFiles(Path(), [])
    names = []
    for split in ("test", "train", "val", "valid", "validation"):
        for label in _visible(data_dir / split):
            if label.is_dir():
                images = (entry.name for entry in _visible(label) if _is_image(entry))
                names += [f"{split}/{label.name}/{image}" for image in images]
    return DataFiles(data_dir, sorted(names))


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(image_listing.SUFFIXES) and entry.is_file()


def _visible(place: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    try:
        entries = os.scandir(place)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _translation(data_dir: Path | None) -> DataFiles:
    """All text in the two languages; which of them is the source may be the folder's name."""
    place = data_dir or parallel_text.DICTIONARY
    if not place.is_dir():
        return DataFiles(place.parent, [place.name] if place.is_file() else [])
    languages = parallel_text.languages(place)
    names = [path.name for path in place.iterdir() if path.suffix[1:] in languages and path.is_file()]
    return DataFiles(place, sorted(names), " to ".join(languages))


_FILES: dict[str, Callable[[Path | None], DataFiles]] = {
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "image-folder": _image_folder,
    "translation": _translation,
}
