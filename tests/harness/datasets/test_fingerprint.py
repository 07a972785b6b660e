"""Content of files: what tells it from another, and that a second look costs little and is right."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.errors import UsageError
from harness.core.home import home
from harness.datasets import fingerprint as module
from harness.datasets.fingerprint import FileContent, Fingerprint, fingerprint


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def look(folder: Path) -> Fingerprint:
    return fingerprint(folder, names_in(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    (path / "a").mkdir(parents=True)
    for number in range(4):
        (path / "a" / f"{number}").write_bytes(bytes([number]) * 100)
    return path


def long_ago(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files had been there for a while when they are looked at."""
    now = time.time_ns() + 10**11
    monkeypatch.setattr(module.time, "time_ns", lambda: now)


CONTENTS = st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=3), min_size=1)


@given(CONTENTS, CONTENTS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equal_if_and_only_if_names_and_contents_are(
    tmp_path: Path, one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    found = []
    for contents in (one, other):
        shutil.rmtree(tmp_path / "x", ignore_errors=True)
        (tmp_path / "x").mkdir()
        for name, content in contents.items():
            (tmp_path / "x" / name).write_bytes(content)
        found.append(look(tmp_path / "x"))
    assert (found[0].sha256 == found[1].sha256) == (one == other)
    changes = found[1].changes_since(found[0])
    assert (changes == "nothing") == (one == other)
    again = Fingerprint.from_document(json.loads(json.dumps(found[0].document())))
    assert again == found[0] and again.sha256 == found[0].sha256


def test_how_it_is_read_is_part_of_it() -> None:
    files = {"a": FileContent(1, "x")}
    one, other = Fingerprint(files, "de to en"), Fingerprint(files, "en to de")
    assert one.sha256 != other.sha256
    assert other.changes_since(one) == "it is read as en to de, not as de to en"


def test_changes_in_words(folder: Path) -> None:
    before = look(folder)
    (folder / "a" / "0").write_bytes(b"x")
    (folder / "a" / "1").rename(folder / "b")
    (folder / "a" / "2").unlink()
    for number in range(5):
        (folder / f"new{number}").write_bytes(bytes(number))
    assert look(folder).changes_since(before) == (
        "1 of 4 files changed: a/0; 1 renamed: a/1 to b; 5 new: new0, new1, new2, ...; 1 missing: a/2"
    )


def test_a_second_look_reads_only_what_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago(folder, monkeypatch)
    first = look(folder)
    read: list[str] = []
    original = module._hash
    monkeypatch.setattr(module, "_hash", lambda path: read.append(path) or original(path))
    assert look(folder) == first and read == []
    (folder / "a" / "2").write_bytes(bytes([9]) * 100)
    assert look(folder) != first and read == [str(folder / "a" / "2")]


def test_what_was_just_written_is_read_again(folder: Path) -> None:
    """A change within the resolution of the file system's times leaves none to tell it by."""
    first = look(folder)
    path = folder / "a" / "2"
    stat = path.stat()
    path.write_bytes(bytes([9]) * 100)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    # As coarse a clock would have it: the file cannot be told from what it was.
    with sqlite3.connect(home() / "hashes.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM hashes").fetchone() == (0,)
    assert look(folder) != first


def test_names_that_are_no_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = os.fsdecode(b"caf\xe9\n\xff")
    (folder / strange).write_bytes(b"x")
    long_ago(folder, monkeypatch)
    first = look(folder)
    monkeypatch.setattr(module, "_hash", lambda path: pytest.fail("read again"))
    assert look(folder) == first and strange in first.files
    assert Fingerprint.from_document(json.loads(json.dumps(first.document()))) == first


@pytest.mark.parametrize("damage", [b"", b"no database" * 1000, None])
def test_a_damaged_cache_is_no_harm(
    folder: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago(folder, monkeypatch)
    first = look(folder)
    cache = home() / "hashes.sqlite"
    if damage is None:
        content = bytearray(cache.read_bytes())
        content[100:4000] = b"\xa5" * 3900
        cache.write_bytes(content)
    else:
        cache.write_bytes(damage)
    assert look(folder) == first
    assert look(folder) == first
    monkeypatch.setattr(module, "_hash", lambda path: pytest.fail("read again"))
    assert look(folder) == first, "it is one again"


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    with pytest.raises(UsageError, match="gone cannot be read"):
        fingerprint(folder, ["a/1", "gone"])
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(UsageError, match="loop cannot be read"):
        fingerprint(folder, ["loop"])


def test_a_person_is_told_of_much_to_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    fingerprint(folder, ["a/1"], "", told.append)
    assert told == []
    monkeypatch.setattr(module, "_MUCH_BYTES", 100)
    fingerprint(folder, ["a/1"], "", told.append)
    assert len(told) == 1 and "1 files" in told[0] and str(folder) in told[0]
