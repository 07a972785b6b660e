"""What tells the content of a set of files from another content: names, sizes, hashes.

Hashes are remembered in `MODNAS_HOME/hashes.sqlite`, so that a second look costs a `stat` a file. A file that
still has its size, inode and times is taken to be the same, as git does: the time of the last change of its
inode cannot be set back by a copy or `touch`. A file that was changed just before it was hashed is hashed
again the next time, since a later change might have got the same time.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from harness.core.errors import UsageError
from harness.core.home import home
from harness.store import content_key

# File systems keep times to two seconds at worst.
_SETTLED_NS = 2_000_000_000
# From here on a person is told why nothing else happens: it takes seconds.
_MUCH_BYTES = 1 << 30
_CHUNK = 1 << 20
_THREADS = 4
_SHOWN = 3

Tell = Callable[[str], None]


class FileContent(NamedTuple):
    """Size in bytes, and SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Fingerprint:
    """The content of a set of files, wherever they lie.

    `files`: by name; `reading`: what else decides what is read of them, in words.
    """

    files: Mapping[str, FileContent]
    reading: str = ""

    @cached_property
    def sha256(self) -> str:
        """One hash over all of it."""
        return content_key({"files": self.files, "reading": self.reading})

    def document(self) -> dict[str, Any]:
        """Something JSON-able that `from_document` reads."""
        return {"reading": self.reading, "files": {name: list(one) for name, one in self.files.items()}}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Fingerprint:
        """Raises KeyError, TypeError or ValueError for another document."""
        files = {name: FileContent(int(size), str(sha)) for name, (size, sha) in document["files"].items()}
        return cls(files, document["reading"])

    def changes_since(self, before: Fingerprint) -> str:
        """What is different from an earlier content, in words: how many files, and some of their names."""
        both = before.files.keys() & self.files.keys()
        missing = {name: before.files[name] for name in sorted(before.files.keys() - both)}
        new = {name: self.files[name] for name in sorted(self.files.keys() - both)}
        renamed = _renamed(missing, new)
        taken = set(renamed.values())
        changed = sorted(name for name in both if before.files[name] != self.files[name])
        counts = [
            ("{} of {} files changed", changed),
            ("{} renamed", [f"{old} to {new}" for old, new in renamed.items()]),
            ("{} new", [name for name in new if name not in taken]),
            ("{} missing", [name for name in missing if name not in renamed]),
        ]
        parts = [
            f"{text.format(f'{len(names):,}', f'{len(before.files):,}')}: {_some(names)}"
            for text, names in counts
            if names
        ]
        if self.reading != before.reading:
            parts.append(f"it is read as {self.reading}, not as {before.reading}")
        return "; ".join(parts) or "nothing"


def _renamed(missing: Mapping[str, FileContent], new: Mapping[str, FileContent]) -> dict[str, str]:
    """New name of each missing file whose content is that of a new one."""
    left: dict[FileContent, list[str]] = {}
    for name, content in reversed([*new.items()]):
        left.setdefault(content, []).append(name)
    return {name: left[content].pop() for name, content in missing.items() if left.get(content)}


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def fingerprint(root: Path, names: Iterable[str], reading: str = "", tell: Tell | None = None) -> Fingerprint:
    """The content of the files `root / name`.

    Args:
        tell: told in one line when so much has to be read that it takes a while.

    Raises:
        UsageError: files cannot be read, all of which are counted, or one is being written at this moment.
    """
    folder = root.absolute()
    paths = {name: f"{folder}/{name}" for name in names}
    stats = _all_of({name: _stat(path) for name, path in paths.items()})
    cache = _Cache(home() / "hashes.sqlite")
    known = cache.read(folder)
    found = {
        name: FileContent(stat.st_size, entry[1])
        for name, stat in stats.items()
        if (entry := known.get(paths[name])) is not None and entry[0] == _mark(stat)
    }
    left = [name for name in paths if name not in found]
    much = sum(stats[name].st_size for name in left)
    if tell and much >= _MUCH_BYTES:
        tell(f"reading {len(left):,} files ({much / 1e9:.1f} GB) of {folder} once, to know them again")
    with ThreadPoolExecutor(_THREADS) as pool:
        hashed = _all_of(dict(zip(left, pool.map(_hash, [paths[name] for name in left]), strict=True)))
    cache.write({paths[name]: (one.mark, one.content.sha256) for name, one in hashed.items() if one.settled})
    found |= {name: one.content for name, one in hashed.items()}
    return Fingerprint({name: found[name] for name in paths}, reading)


Found = TypeVar("Found")


class _Hashed(NamedTuple):
    """`settled`: whether a later change of the file will be seen from its times."""

    content: FileContent
    mark: str
    settled: bool


def _mark(stat: os.stat_result) -> str:
    """What changes with a file's content. Not its device, whose number may change with a boot."""
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def _stat(path: str) -> os.stat_result | OSError:
    try:
        return os.stat(path)  # noqa: PTH116 - as in _hash
    except OSError as error:
        return error


def _hash(path: str) -> _Hashed | OSError:
    digest, now = hashlib.sha256(), time.time_ns()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path of each of a million files takes seconds
            before = os.fstat(file.fileno())
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            after = os.fstat(file.fileno())
    except OSError as error:
        return error
    if _mark(before) != _mark(after):
        raise UsageError(f"{path} is being written at this moment; try again when that is done")
    settled = now - max(after.st_mtime_ns, after.st_ctime_ns) > _SETTLED_NS
    return _Hashed(FileContent(after.st_size, digest.hexdigest()), _mark(after), settled)


def _all_of(found: Mapping[str, Found | OSError]) -> dict[str, Found]:
    """What was found, by name. Raises UsageError that names the files of which nothing was."""
    errors = [one for one in found.values() if isinstance(one, OSError)]
    if not errors:
        return {name: one for name, one in found.items() if not isinstance(one, OSError)}
    told = [f"{error.filename} cannot be read ({error.strerror or error})" for error in errors[:_SHOWN]]
    more = f", and {len(errors) - len(told):,} more" if len(errors) > len(told) else ""
    raise UsageError(f"{', '.join(told)}{more}; repair or replace them")


class _Cache:
    """Marks and hashes by path. Only ever a help: a damaged one is begun anew, a locked one does without."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Mark and hash of what is known below a folder, by path."""
        start = os.fsencode(folder) + b"/"
        query = "SELECT path, mark, sha256 FROM hashes WHERE path >= ? AND path < ?"
        try:
            with closing(self._open()) as connection:
                rows = connection.execute(query, (start, start[:-1] + b"0")).fetchall()
        except sqlite3.OperationalError:
            return {}
        except sqlite3.DatabaseError:
            self._path.unlink(missing_ok=True)
            return {}
        return {os.fsdecode(path): (mark, sha256) for path, mark, sha256 in rows}

    def write(self, entries: Mapping[str, tuple[str, str]]) -> None:
        if not entries:
            return
        rows = [(os.fsencode(path), mark, sha256) for path, (mark, sha256) in entries.items()]
        try:
            with closing(self._open()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)", rows)
        except sqlite3.Error:
            return

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30)
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS hashes "
                "(path BLOB PRIMARY KEY, mark TEXT, sha256 TEXT) WITHOUT ROWID"
            )
        except sqlite3.Error:
            connection.close()
            raise
        return connection
