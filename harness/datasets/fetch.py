"""`dataset fetch`: published tables from their public addresses, converted into the layout that is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from harness.core.errors import ModnasHwError, UsageError
from harness.core.home import file_sha256, is_half_written, read_kept, write_atomically
from harness.datasets.convert import CONVERTERS, ConversionError
from harness.datasets.download import PARTIAL, Patience, download

MIRROR = "https://raw.githubusercontent.com"
# In the folder of a benchmark: what came from where. A folder without it is not touched.
RECORD = "fetched.json"
_SOURCES = ".sources"

OnFile = Callable[["Fetched", int], None]


@dataclass(frozen=True)
class Fetched:
    """One downloaded file. `verified`: its hash was known before, and agrees."""

    repo: str
    commit: str
    path: str
    licence: str
    url: str
    bytes: int
    sha256: str
    verified: bool


@dataclass(frozen=True)
class FetchReport:
    """`files`: what was downloaded or there already; `written`: what was made of it, in `folder`."""

    folder: Path
    files: list[Fetched]
    written: list[str]

    @property
    def unverified(self) -> int:
        """How many files had no hash that was known before."""
        return sum(not one.verified for one in self.files)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "folder": str(self.folder)}


@cache
def sources() -> dict[str, Any]:
    """The manifest: by benchmark, its folder and the files it is made of."""
    manifest: dict[str, Any] = json.loads(
        files("harness.datasets").joinpath("sources.json").read_text(encoding="utf-8")
    )
    return manifest


def fetch(
    benchmark: str,
    to: Path,
    mirror: str = MIRROR,
    on_file: OnFile | None = None,
    patience: Patience | None = None,
) -> FetchReport:
    """Download and convert one benchmark's tables into a folder of `to`.

    What is there already is not fetched again; an interrupted call is continued by the next one. The tables
    are replaced only when everything came and could be read.

    Args:
        mirror: the address before `owner/repository/commit/path`.
        on_file: called after each file with it and the number of files there are.
        patience: how long all files together may take, and how long nothing may come.

    Raises:
        UsageError: no such benchmark or mirror, or the folder holds tables that were not fetched.
        DownloadError: a file is missing, altered or cut off, or the time is over.
        ConversionError: a file is not what the manifest says.
    """
    if benchmark not in sources():
        raise UsageError(f"no source of {benchmark!r}; known: {', '.join(sources())}")
    if urlsplit(mirror).scheme not in ("https", "http"):
        raise UsageError(f"--mirror {mirror}: give an address that begins with https:// or http://")
    folder = to / sources()[benchmark]["folder"]
    entries = sources()[benchmark]["files"]
    _check_folder(folder, {entry["path"] for entry in entries})
    fetched, there, patience = [], _recorded(folder), patience or Patience()
    for entry in entries:
        fetched.append(_one(entry, folder, mirror.rstrip("/"), there, patience))
        if on_file:
            on_file(fetched[-1], len(entries))
    written = _convert(benchmark, folder, {one.path for one in fetched})
    return FetchReport(folder, fetched, written)


def _check_folder(folder: Path, paths: set[str]) -> None:
    """Refuse a folder that this was not fetched into: what it does not know it would replace.

    Without a record that can be read, only sources whose download was begun may be there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = [] if _is_record(folder / RECORD) else _foreign(folder, paths)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    if foreign:
        raise UsageError(
            f"{folder} holds files that were not fetched ({foreign[0]}, ...); choose another folder with --to"
        )
    if (folder / _SOURCES).is_symlink():
        raise UsageError(f"{folder / _SOURCES} is a link; choose another folder with --to")


def _is_record(path: Path) -> bool:
    try:
        return isinstance(json.loads(read_kept(path))["files"], list)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _foreign(folder: Path, paths: set[str]) -> list[str]:
    """Names in a folder without a record that are no begun download of these sources."""
    begun = {f"{_SOURCES}/{path}{end}" for path in paths for end in ("", *PARTIAL)}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    # An empty record is what a full disk leaves of one.
    damaged = (folder / RECORD).is_file() and (folder / RECORD).stat().st_size == 0
    foreign = found - begun - ({RECORD} if damaged else set())
    return sorted(name for name in foreign if not is_half_written(name, RECORD))


def _recorded(folder: Path) -> dict[str, str]:
    """Hashes of the source files that earlier calls downloaded, by path."""
    try:
        record = json.loads(read_kept(folder / RECORD))
        return {one["path"]: one["sha256"] for one in record["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _one(
    entry: dict[str, Any], folder: Path, mirror: str, there: dict[str, str], patience: Patience
) -> Fetched:
    url = f"{mirror}/{entry['repo']}/{entry['commit']}/{quote(entry['path'])}"
    target = folder / _SOURCES / entry["path"]
    wanted = entry["sha256"] or there.get(entry["path"])
    if wanted and target.is_file() and file_sha256(target) == wanted:
        found = wanted
    else:
        found = download(url, target, entry["sha256"], patience=patience)
    one = Fetched(
        **{name: entry[name] for name in ("repo", "commit", "path", "licence")},
        url=url,
        bytes=target.stat().st_size,
        sha256=found,
        verified=entry["sha256"] is not None,
    )
    _record(folder, one)
    return one


def _record(folder: Path, one: Fetched) -> None:
    path = folder / RECORD
    known = json.loads(read_kept(path))["files"] if _recorded(folder) else []
    kept = [other for other in known if other["path"] != one.path]
    write_atomically(path, json.dumps({"files": [*kept, asdict(one)]}, indent=1))


def _convert(benchmark: str, folder: Path, paths: set[str]) -> list[str]:
    def source(path: str) -> Path:
        if path not in paths:
            raise ModnasHwError(f"the manifest of {benchmark} lacks {path}")
        return folder / _SOURCES / path

    try:
        made = CONVERTERS[benchmark](source, sorted(paths))
    except ConversionError as error:
        raise ConversionError(
            f"{benchmark}: {error}; delete {folder / _SOURCES} to fetch it again"
        ) from error
    for name, content in made.items():
        write_atomically(folder / name, content)
    return sorted(made)
