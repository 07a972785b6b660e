"""The image files below a folder, and what else was found there, counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modnas.tasks.errors import shown

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# What systems put into people's folders: macOS, Windows, and Synology's, whose thumbnails are images.
_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir"}
# Kinds of left out files that are told apart in one line.
_KINDS = 10


@dataclass
class LeftOut:
    """What was found in a folder and is not read: how many of each kind, and one of each for an example.

    Args:
        root: the folder that examples are told from.
        unlisted: folders that cannot be listed, with the reason, a line each.
    """

    root: Path
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)

    def add(self, kind: str, path: str | Path, count: int = 1) -> None:
        """Count a file or folder as of this kind."""
        self.counts[kind] += count
        self.examples.setdefault(kind, shown(os.path.relpath(path, self.root)))

    def add_named(self, path: Path) -> None:
        """Count a file, or whatever is hidden, by its name."""
        name = path.name
        if name.startswith("."):
            kind = "hidden"
        elif is_clutter(name):
            kind = "of the system"
        elif path.is_symlink() and not path.exists():
            kind = "broken links"
        elif suffix_of(name) in SUFFIXES:
            kind = "images outside of class folders"
        else:
            kind = shown(suffix_of(name)) or "without a suffix"
        self.add(kind, path)

    def merge(self, other: LeftOut) -> None:
        """Count also what another has counted below the same root."""
        self.counts += other.counts
        self.examples = {**other.examples, **self.examples}

    def kinds(self) -> list[str]:
        """How many of each kind, the most frequent first; where there are many kinds, the rest together."""
        kinds = self.counts.most_common()
        told = [f"{count:,} {kind} (such as {self.examples[kind]})" for kind, count in kinds[:_KINDS]]
        if others := kinds[_KINDS:]:
            told.append(f"{sum(count for _, count in others):,} of {len(others):,} other kinds")
        return told


def suffix_of(name: str) -> str:
    """The last part of a name, from its point, in small letters; empty where there is none."""
    return Path(name).suffix.lower()


def is_clutter(name: str) -> bool:
    """Whether a system has put a file or folder of this name there, and no person."""
    return name.casefold() in _CLUTTER


def names_in(folder: Path) -> list[str]:
    """Names of what a folder holds, in order. Raises OSError."""
    with os.scandir(folder) as listed:
        return sorted(entry.name for entry in listed)


def walk(top: Path, left_out: LeftOut) -> Iterator[str]:
    """Paths of all that is called as an image, of a folder by name, then of the folders in it.

    Links are followed, but not back up: neither in `top` nor to the folder of `left_out` or that of `top`.
    Hidden files and folders are not read.
    """
    outside = frozenset(map(_identity, [left_out.root, top.parent]))
    waiting = [(str(top), outside)]
    while waiting:
        folder, above = waiting.pop()
        try:
            own = _identity(Path(folder))
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            left_out.unlisted.append(f"{shown(folder)} ({error.strerror})")
            continue
        if own in above:
            left_out.add("links to a folder above", folder)
            continue
        folders = []
        for entry in entries:
            if entry.name.startswith(".") or is_clutter(entry.name):
                left_out.add_named(Path(entry.path))
            elif _is_folder(entry):
                folders.append((entry.path, above | {own}))
            elif suffix_of(entry.name) in SUFFIXES:
                yield entry.path
            else:
                left_out.add_named(Path(entry.path))
        if not entries and folder != str(top):
            left_out.add("empty folders", folder)
        waiting += reversed(folders)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
