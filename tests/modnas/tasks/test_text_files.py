"""Parallel text as people have it: what is read, what is left out and counted, and all that is wrong."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from modnas.tasks import DamagedDataError, TaskError, get_task
from modnas.tasks.parallel_text import read_dictionary, read_folder

COUNTS = {"train": 40, "valid": 8, "test": 6}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "text"
    place.mkdir()
    for split, count in COUNTS.items():
        for language in ("de", "en"):
            lines = [f"{language} {split} {n} x" for n in range(count)]
            (place / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines))
    return place


def line(path: Path, number: int, data: bytes) -> None:
    """Put other bytes in the place of a line."""
    rows = path.read_bytes().split(b"\n")
    rows[number - 1] = data
    path.write_bytes(b"\n".join(rows))


def ends(path: Path, end: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", end))


#: What is done to the folder, how many pairs each split has then, and what is told.
READ = {
    "whole": (lambda f: None, {}, []),
    "Windows' line ends on one side": (lambda f: ends(f / "train.de", b"\r\n"), {}, []),
    "a byte order mark": (
        lambda f: (f / "train.de").write_bytes(b"\xef\xbb\xbf" + (f / "train.de").read_bytes()),
        {},
        [],
    ),
    "no end of the last line": (
        lambda f: (f / "train.de").write_bytes((f / "train.de").read_bytes()[:-1]),
        {},
        [],
    ),
    "other line ends within a sentence": (
        lambda f: line(f / "train.de", 5, "eins\u2028zwei\u0085drei\x0cvier\rfuenf".encode()),
        {},
        [],
    ),
    "empty sides": (
        lambda f: [
            line(f / "train.de", 5, b""),
            line(f / "train.en", 5, b" \t"),
            line(f / "train.en", 9, b""),
            line(f / "test.en", 1, b" "),
        ],
        {"train": 38, "test": 5},
        ["2 of train with an empty side", "1 of test with an empty side"],
    ),
    "the same sources": (
        lambda f: [
            line(f / "train.de", 1, b"de test 0 x"),
            line(f / "train.de", 2, b"DE valid, 0 x!"),
            line(f / "test.de", 3, b"de valid 1 x"),
        ],
        {"train": 38},
        ["2 of train whose source is in valid or test", "pairs of valid whose source is in test as well: 1"],
    ),
    "other files": (
        lambda f: [(f / "README").write_text("x"), (f / "valid.fr").write_text("x\n"), (f / "raw").mkdir()],
        {},
        ["files not used: 3 (such as README)"],
    ),
    "several files of a split": (
        lambda f: [
            (f / f"{name}.{language}").write_text("other\n" * 3)
            for name in ("valid.tok", "dev")
            for language in ("de", "en")
        ],
        {},
        ["files not used: 4 (such as dev.de)"],
    ),
    "one side only beside a pair": (
        lambda f: (f / "valid.clean.de").write_text("andere\n" * 8),
        {},
        ["files not used: 1 (such as valid.clean.de)"],
    ),
    "the usual name without its other side": (
        lambda f: [
            (f / "valid.en").rename(f / "dev.en"),
            (f / "dev.de").write_bytes((f / "valid.de").read_bytes()),
        ],
        {},
        ["files not used: 1 (such as valid.de)"],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read_and_what_is_told(folder: Path, name: str) -> None:
    change, counts, told = READ[name]
    change(folder)
    notes: list[str] = []
    splits = read_folder(folder, notes)
    assert {split: len(pairs) for split, pairs in splits.items()} == {**COUNTS, **counts}
    assert bool(notes) == bool(told)
    for part in told:
        assert any(part in note for note in notes), notes
    for split, pairs in splits.items():
        for pair in pairs[10:]:  # those in front were changed
            assert pair.source == pair.target.replace("en ", "de ", 1) and pair.source.startswith(
                f"de {split}"
            )


#: What is done to the folder, and all that is wrong with it then.
WRONG: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "not UTF-8": (
        lambda f: [line(f / "train.de", n, b"gr\xfc\xdfe") for n in (3, 17)],
        ["train.de is not UTF-8 in lines 3, 17"],
    ),
    "not UTF-8 at all": (
        lambda f: [line(f / "train.de", n, b"\xff") for n in range(1, 41)],
        ["train.de is not UTF-8 in lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 30 more"],
    ),
    "UTF-16": (
        lambda f: (f / "test.en").write_text((f / "test.en").read_text(), encoding="utf-16"),
        ["test.en is UTF-16, not UTF-8"],
    ),
    "bytes of zero": (lambda f: line(f / "valid.en", 4, b"a\0b"), ["valid.en has bytes of zero in line 4"]),
    "a line too many": (
        lambda f: (f / "valid.en").write_bytes((f / "valid.en").read_bytes() + b"more\n"),
        ["valid.de 8 and ", "valid.en 9 lines"],
    ),
    "a pipe": (
        lambda f: [(f / "test.en").unlink(), os.mkfifo(f / "test.en")],
        ["test.en is no file"],
    ),
    "a folder": (lambda f: [(f / "test.en").unlink(), (f / "test.en").mkdir()], ["test.en is no file"]),
    "an empty pair": (
        lambda f: [(f / f"valid.{language}").write_text("") for language in ("de", "en")],
        ["valid.de and valid.en have no pair"],
    ),
    "the same file twice": (
        lambda f: (f / "train.en").write_bytes((f / "train.de").read_bytes()),
        ["train.de and train.en are the same"],
    ),
    "one side": (lambda f: (f / "test.de").unlink(), ["has no test.de beside test.en"]),
    "one side of a longer name": (
        lambda f: [(f / "test.de").rename(f / "test.tok.de"), (f / "test.en").unlink()],
        ["has no test.tok.en beside test.tok.de"],
    ),
    "no split": (
        lambda f: [(f / f"valid.{language}").unlink() for language in ("de", "en")],
        ["has no valid.de, no valid.en"],
    ),
    "all at once": (
        lambda f: [
            line(f / "train.de", 3, b"\xff"),
            line(f / "train.en", 4, b"\xff"),
            (f / "valid.en").write_text("one\n"),
            (f / "test.de").unlink(),
        ],
        [
            "train.de is not UTF-8 in line 3",
            "train.en is not UTF-8 in line 4",
            "valid.en 1 lines",
            "no test.de",
        ],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_everything_wrong_is_named(folder: Path, name: str) -> None:
    change, told = WRONG[name]
    change(folder)
    with pytest.raises(DamagedDataError) as caught:
        get_task("translation", folder)
    assert "\n" not in str(caught.value)
    for part in told:
        assert part in str(caught.value)


def test_packed_files_have_to_be_unpacked(folder: Path) -> None:
    for language in ("de", "en"):
        path = folder / f"train.{language}"
        (folder / f"train.{language}.gz").write_bytes(gzip.compress(path.read_bytes()))
    notes: list[str] = []
    read_folder(folder, notes)
    assert notes == ["translation: files not used: 2 (such as train.de.gz)"]
    for language in ("de", "en"):
        (folder / f"train.{language}").unlink()
    with pytest.raises(TaskError, match=r"needs train\.XX .*has gz; unpack"):
        read_folder(folder)


def test_nothing_left_to_train_on_is_refused(folder: Path) -> None:
    (folder / "train.de").write_text("de test 0 x\n")
    (folder / "train.en").write_text("en test 0 x\n")
    with pytest.raises(TaskError, match="all sources of train"):
        read_folder(folder)


def test_lines_of_a_dictionary_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "de-en").write_bytes(b"a b c :: d e f\n\xff\n" * 3)
    with pytest.raises(TaskError, match="is not UTF-8 in lines 2, 4, 6"):
        read_dictionary(tmp_path / "de-en", 0)
    with pytest.raises(TaskError, match=r"no file.*trans-de-en"):
        read_dictionary(tmp_path / "none", 0)


def test_limits_and_lengths_are_told(tmp_path: Path) -> None:
    rng = random.Random(0)
    words = ["Hund", "Katze", "Baum", "Haus", "sieht", "kennt", "mag", "nicht", "und", "oder"]
    for split, count in (("train", 400), ("valid", 40), ("test", 40)):
        for language in ("de", "en"):
            lengths = [rng.randint(3, 8) if n % 4 else 100 for n in range(count)]
            lines = [" ".join(rng.choices(words, k=length)) for length in lengths]
            (tmp_path / f"{split}.{language}").write_text("".join(f"{one}\n" for one in lines))
    task = get_task("translation", tmp_path, limit=200)
    left, beyond, longer, cut = task.notes
    trained, valid = len(task.split("train").pairs), len(task.split("valid").pairs)
    assert left == f"translation: {trained} train, {valid} valid, 40 test pairs of {tmp_path}"
    assert f"{400 - trained} of train, {40 - valid} of valid" in beyond
    assert f"{trained - task.count(('train',))} of train, {valid - task.count(('valid',))} of valid" in longer
    assert "59 pieces" in longer and f"translated: {valid // 4 + 10}" in cut
