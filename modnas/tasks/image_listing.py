"""Image files in a folder a class, and their division into splits.

    DIR/train/<class>/...      divided into train and valid
    DIR/val/<class>/...        the test split

ImageNet is laid out like that. A class has the images of its folder and of all folders below. `val` may also
be called test, valid or validation (the first of these that is there is taken), `train` training, in capitals
or not. Where there is no such folder, a tenth of every class of train becomes the test split: the same files
whatever the seed, as long as the folder stays as it is.

What is found and not read is counted (see `LeftOut`). No file is opened.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modnas.tasks.base import stratified_order
from modnas.tasks.errors import DamagedDataError, TaskError, shown
from modnas.tasks.image_walk import SUFFIXES, LeftOut, is_clutter, names_in, walk

HINT = "give a folder that holds train/<class>/ and val/<class>/ with --data-dir"
TEST_SHARE = 0.1
_SPLIT_SEED = 20  # of a test split taken from train: errors of different seeds are to be compared
# The names of the two folders, the first that is there before the others.
_TRAIN, _TEST = ("train", "training"), ("val", "test", "valid", "validation")
SPLIT_FOLDERS = (*_TRAIN, *_TEST)


class Files(NamedTuple):
    """Paths of n images; labels (n,), int64."""

    paths: list[str]
    targets: Tensor

    def pick(self, rows: Tensor) -> Files:
        """These items in this order. `rows`: (m,), int64."""
        return Files([self.paths[n] for n in rows.tolist()], self.targets[rows])


class Listing(NamedTuple):
    """What a folder holds.

    Args:
        classes: their names; labels are indices into these.
        pool: images to train with.
        origin: where the images are from that are for testing, in words.
        left_out: what is not read.
    """

    classes: list[str]
    pool: Files
    test: Files
    origin: str
    left_out: LeftOut


def read_folder(directory: Path) -> Listing:
    """List a folder laid out as above. Raises TaskError, and OSError for a folder that holds classes."""
    places = _split_folders(directory)
    train = next((places[name] for name in _TRAIN if name in places), None)
    if train is None:
        below = next((path.parent for path in sorted(directory.glob("*/train"))), None)
        other = f" (there is one in {shown(below)})" if below else ""
        raise TaskError(f"image-folder: no folder train in {shown(directory)}{other}: {HINT}")
    apart = next((places[name] for name in _TEST if name in places), None)
    left_out = LeftOut(directory)
    _count_others(directory, [place.name for place in (train, apart) if place], left_out)
    classes = _classes(train, left_out)
    if apart is not None:
        _compare(train, classes, apart, _classes(apart, left_out))
    problems: list[str] = []
    pool = _read_classes(train, classes, 2 if apart else 3, left_out, problems)
    test = _read_classes(apart, classes, 1, left_out, problems) if apart else None
    if problems:
        raise DamagedDataError(
            "image-folder:", problems, "let them be listed, add images or remove the class"
        )
    if test is not None and apart is not None:
        return Listing(classes, pool, test, f"from {apart.name}", left_out)
    origin = "a tenth of every class, for there is no folder val"
    return Listing(classes, *divided(pool, TEST_SHARE, _SPLIT_SEED), origin, left_out)


def _split_folders(directory: Path) -> dict[str, Path]:
    """The folders named in `_TRAIN` and `_TEST` by these names. Raises TaskError where two differ in case."""
    found: dict[str, Path] = {}
    for name in names_in(directory) if directory.is_dir() else ():
        usual = name.casefold()
        if usual in SPLIT_FOLDERS and (directory / name).is_dir():
            if usual in found:
                raise TaskError(
                    f"image-folder: {shown(directory)} has both {found[usual].name} and {name}: keep one"
                )
            found[usual] = directory / name
    return found


def _count_others(directory: Path, used: list[str], left_out: LeftOut) -> None:
    """Count what lies beside the folders that are read."""
    for name in names_in(directory):
        path = directory / name
        if name in used:
            continue
        if name.casefold() in SPLIT_FOLDERS and path.is_dir():
            left_out.add(f"images in {name}", path, sum(1 for _ in walk(path, LeftOut(directory))))
        elif path.is_dir() and not name.startswith(".") and not is_clutter(name):
            left_out.add("other folders", path)
        else:
            left_out.add_named(path)


def _classes(place: Path, left_out: LeftOut) -> list[str]:
    """Names of the class folders in order. Raises TaskError if there are not at least two."""
    names = []
    for path in sorted(place.iterdir(), key=lambda path: path.name):
        if path.is_dir() and not path.name.startswith(".") and not is_clutter(path.name):
            names.append(path.name)
        else:
            left_out.add_named(path)
    if len(names) < 2:
        found = f"only the class folder {shown(names[0])}" if names else "no class folders"
        raise TaskError(f"image-folder: {found} in {shown(place)}: {HINT}, two classes at least")
    return names


def _compare(train: Path, in_train: list[str], apart: Path, in_apart: list[str]) -> None:
    """Raises TaskError where the folders do not have the same classes; it names those of one only."""
    different = sorted({*in_train} ^ {*in_apart})
    if not different:
        return
    more = " (some differ only in how they are written)" if written_alike(different) else ""
    plural = "classes" if len(different) > 1 else "class"
    raise DamagedDataError(
        f"image-folder: only one of {shown(train)} and {shown(apart)} has the {plural}",
        [shown(name) for name in different],
        f"give both the same folders{more}",
    )


def written_alike(names: Iterable[str]) -> list[str]:
    """Those of the names that a person may take for one: of another case, or in other forms of Unicode."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(shown(name))
    return [name for group in alike.values() if len(group) > 1 for name in group]


def _read_classes(
    place: Path, classes: list[str], fewest: int, left_out: LeftOut, problems: list[str]
) -> Files:
    """All image files of these classes, by class and name; adds those with too few to `problems`."""
    paths: list[str] = []
    targets: list[int] = []
    for label, name in enumerate(classes):
        others = LeftOut(left_out.root)
        found = list(walk(place / name, others))
        left_out.merge(others)
        problems += [f"{folder}, which cannot be listed" for folder in others.unlisted]
        if len(found) < fewest and not others.unlisted:
            besides = (
                f", besides {', '.join(others.kinds())}" if others.counts else f" ({' '.join(SUFFIXES)})"
            )
            problems.append(
                f"{shown(place / name)} has {len(found)} image files, at least {fewest} are needed{besides}"
            )
        paths += found
        targets += [label] * len(found)
    return Files(paths, torch.tensor(targets))


def divided(files: Files, share: float, seed: int) -> tuple[Files, Files]:
    """What is left, and this share of every class, both in stratified order.

    A class of at least two images has one in each.
    """
    order = stratified_order(files.targets, seed)
    labels = files.targets[order]
    out = torch.zeros(len(order), dtype=torch.bool)
    for label in range(int(labels.max()) + 1):
        members = torch.nonzero(labels == label).flatten()
        count = min(max(1, round(share * len(members))), len(members) - 1)
        out[members[:count]] = True
    return files.pick(order[~out]), files.pick(order[out])
