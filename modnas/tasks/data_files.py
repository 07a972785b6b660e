"""The files that a task is made of: what its content is, wherever it lies.

A file that is missing is left out: saying so is up to the task itself, and to whoever compares listings.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from modnas.core.registry import UnknownNameError
from modnas.tasks import cifar10, fashion_mnist, parallel_text
from modnas.tasks.errors import TaskError
from modnas.tasks.image_listing import SPLIT_FOLDERS
from modnas.tasks.image_walk import LeftOut, names_in, walk
from modnas.tasks.registry import TASKS


class DataFiles(NamedTuple):
    """Files `root / name`, sorted by name.

    `reading`: what besides names and contents decides what is read of them, in words.
    """

    root: Path
    names: list[str]
    reading: str = ""


def data_files(task: str, data_dir: Path | None = None) -> DataFiles:
    """The files that `get_task(task, data_dir)` reads, of all its splits.

    Of another package's task these are all files of its folder. Without a folder its data come with the
    package, whose name and version tell which they are.

    Raises TaskError where there is no task of this name, or a folder cannot be listed.
    """
    try:
        return _FILES[task](data_dir) if task in _FILES else _plugin(task, data_dir)
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
    if data_dir is None or not data_dir.is_dir():
        return DataFiles(data_dir or Path(), [])
    folders = [name for name in names_in(data_dir) if name.casefold() in SPLIT_FOLDERS]
    places = [data_dir / name for name in folders if (data_dir / name).is_dir()]
    images = (image for place in places for image in walk(place, LeftOut(data_dir)))
    # No pipes: whatever is no image is for the task to name.
    return DataFiles(data_dir, sorted(os.path.relpath(i, data_dir) for i in images if Path(i).is_file()))


def _translation(data_dir: Path | None) -> DataFiles:
    """All text in the two languages; which of them is the source may be the folder's name."""
    place = data_dir or parallel_text.DICTIONARY
    if not place.is_dir():
        return DataFiles(place.parent, [place.name] if place.is_file() else [])
    names = sorted(path.name for path in place.iterdir())
    try:
        languages = parallel_text.languages_of(place, names)
    except TaskError:  # the task says what is missing
        return DataFiles(place, [])
    texts = [name for name in names if Path(name).suffix[1:] in languages and (place / name).is_file()]
    return DataFiles(place, texts, " to ".join(languages))


def _plugin(task: str, data_dir: Path | None) -> DataFiles:
    try:
        origin = TASKS.origin(task)
    except UnknownNameError as error:
        raise TaskError(str(error)) from error
    if data_dir is None:
        return DataFiles(Path(), [], f"{task} of {origin}")
    paths = (path for path in data_dir.rglob("*") if path.is_file())
    return DataFiles(data_dir, sorted(os.path.relpath(path, data_dir) for path in paths))


_FILES: dict[str, Callable[[Path | None], DataFiles]] = {
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
    "image-folder": _image_folder,
    "translation": _translation,
}
