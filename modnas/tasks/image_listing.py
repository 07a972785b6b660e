"""Image files in a folder a class, and their division into splits.

    DIR/train/<class>/*.jpg     divided into train and valid
    DIR/val/<class>/*.jpg       the test split; DIR/test where there is no DIR/val

ImageNet is laid out like that. Where there is neither val nor test, a tenth of every class of train becomes
the test split: the same files whatever the seed, as long as the folder stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from modnas.tasks.base import TaskError, stratified_order

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
MEND = "give a folder that holds train/<class>/ and val/<class>/ with --data-dir"
TEST_SHARE = 0.1
_SPLIT_SEED = 20  # of a test split taken from train: errors of different seeds are to be compared


class Files(NamedTuple):
    """Paths of n images; labels (n,), int64."""

    paths: list[str]
    targets: Tensor

    def pick(self, rows: Tensor) -> Files:
        """These items in this order. `rows`: (m,), int64."""
        return Files([self.paths[n] for n in rows.tolist()], self.targets[rows])


def read_folder(directory: Path) -> tuple[list[str], Files, Files]:
    """Names of the classes; images to train with; images to test. Raises TaskError, and OSError."""
    train = directory / "train"
    if not train.is_dir():
        raise TaskError(f"image-folder: no folder train in {directory}: {MEND}")
    names = _folders(train)
    apart = next((directory / n for n in ("val", "test") if (directory / n).is_dir()), None)
    if apart is None:
        return names, *divided(_read_classes(train, names, 3), TEST_SHARE, _SPLIT_SEED)
    if different := sorted({*_folders(apart)} ^ {*names}):
        raise TaskError(
            f"image-folder: only one of {train} and {apart} has the class {different[0]}: "
            "give both the same folders"
        )
    return names, _read_classes(train, names, 2), _read_classes(apart, names, 1)


def _visible(place: Path) -> list[Path]:
    return sorted((p for p in place.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)


def _folders(place: Path) -> list[str]:
    """Names of the class folders in order. Raises TaskError if there are not at least two."""
    names = [path.name for path in _visible(place) if path.is_dir()]
    if len(names) < 2:
        found = f"only the class folder {names[0]}" if names else "no class folders"
        raise TaskError(f"image-folder: {found} in {place}: {MEND}, two classes at least")
    return names


def _read_classes(place: Path, names: list[str], fewest: int) -> Files:
    """All image files of these classes, by class and name. Raises TaskError where a class has too few."""
    paths: list[str] = []
    targets: list[int] = []
    for label, name in enumerate(names):
        found = [str(path) for path in _visible(place / name) if path.suffix.lower() in SUFFIXES]
        if len(found) < fewest:
            raise TaskError(
                f"image-folder: {place / name} has {len(found)} image files, at least {fewest} are needed: "
                f"add some ({' '.join(SUFFIXES)}) or remove the class"
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
