"""Searches on people's own data, some of them damaged, some not what they are taken for."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from integration_home import Home
from PIL import Image

SEARCH = ("search", "--devices", "quick", "--preset", "tiny", "--run", "mine")
# The preset with images that are trained on in a moment.
SMALL = """
PRESETS["tiny"] = PRESETS["tiny"].model_copy(update={"task_side": 8})
"""
WORDS = ["Hund", "Katze", "Baum", "Haus", "sieht", "kennt", "mag", "nicht", "und", "oder", "der", "die"]


def images(folder: Path) -> None:
    for split, count in (("train", 20), ("val", 6)):
        for label in ("cat", "dog"):
            (folder / split / label).mkdir(parents=True)
            for n in range(count):
                path = folder / split / label / f"{n}.jpg"
                pixels = np.random.default_rng(crc32(str(path).encode())).integers(0, 256, (40, 40, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(path)


def sentences(folder: Path) -> None:
    folder.mkdir()
    rng = random.Random(0)
    for split, count in (("train", 300), ("valid", 30), ("test", 30)):
        for language in ("de", "en"):
            lines = [" ".join(rng.choices(WORDS, k=rng.randint(3, 9))) for _ in range(count)]
            (folder / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines))


def batches(folder: Path) -> None:
    folder.mkdir()
    for n, name in enumerate(["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]):
        records = np.random.default_rng(n).integers(0, 256, (100, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(100) % 10
        (folder / name).write_bytes(records.tobytes())


def cut(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[:-200])


def wrong_label(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5 * 3073] = 77
    path.write_bytes(data)


def foreign(path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines()
    lines[line - 1] = b"gr\xfc\xdfe"
    path.write_bytes(b"\n".join(lines))


@dataclass
class Damage:
    """Data, what is done to them, and all that the command has to say."""

    task: str
    make: Callable[[Path], None]
    spoil: Callable[[Path], object]
    told: tuple[str, ...]


DAMAGES = {
    "images": Damage(
        "image-folder",
        images,
        lambda f: cut(f / "val/cat/3.jpg", *(f / "train/dog" / f"{n}.jpg" for n in range(20))),
        ("21 of 52 images", "and 11 more", "val/cat/3.jpg: ", *(f"train/dog/{n}.jpg: " for n in range(20))),
    ),
    "texts": Damage(
        "translation",
        sentences,
        lambda f: [
            (f / "test.en").write_text("one line\n"),
            foreign(f / "train.de", 7),
            foreign(f / "valid.en", 30),
        ],
        (
            "train.de is not UTF-8 in line 7",
            "valid.en is not UTF-8 in line 30",
            "test.de 30 and",
            "test.en 1 lines",
        ),
    ),
    "batches": Damage(
        "cifar10",
        batches,
        lambda f: [cut(f / "test_batch.bin"), wrong_label(f / "data_batch_2.bin")],
        ("test_batch.bin has 307100 bytes", "data_batch_2.bin has the label 77 (image 6"),
    ),
}


def rows(home: Home) -> int:
    path = home.folder / "store.sqlite"
    with sqlite3.connect(path) as store:
        return sum(
            store.execute(f"select count(*) from {table}").fetchone()[0]
            for table in ("measurements", "evaluations")
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_a_search_on_damaged_data_ends_before_it_begins_and_names_everything(
    home: Home, tmp_path: Path, name: str
) -> None:
    damage = DAMAGES[name]
    place = tmp_path / "data"
    damage.make(place)
    damage.spoil(place)
    space = ["--space", "transformer", "--preset", "small"] if damage.task == "translation" else []
    process = home.start(*SEARCH, "--task", damage.task, "--data-dir", str(place), *space)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 2, errors
    assert output == "" and "Traceback" not in errors
    (last,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert errors.endswith(f"{last}\n")
    for part in damage.told:
        assert part in errors
    assert not [*home.folder.glob("runs/*"), *home.folder.glob("artifacts/*")] and rows(home) == 0


@pytest.mark.slow
def test_what_is_not_used_is_told_and_kept_with_the_run_and_damage_ends_a_later_verification(
    home: Home, tmp_path: Path
) -> None:
    place = tmp_path / "data"
    images(place)
    for n in range(14):
        (place / "train" / "cat" / f"{n}.txt").write_text("notes")
    (place / "train" / "dog" / "more").mkdir()
    (place / "train" / "dog" / "19.jpg").rename(place / "train" / "dog" / "more" / "19.jpg")
    (place / "val").rename(place / "validation")
    arguments = (*SEARCH, "--no-verify", "--task", "image-folder", "--data-dir", str(place))
    process = home.start(*arguments, "--json", before=SMALL)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    notes = json.loads(output)["data"]
    assert "32 train, 8 valid, 12 test (from validation)" in notes[0]
    assert notes[1].endswith("below those of the classes: 1 of 52")
    assert "14 .txt (such as train/cat/0.txt)" in notes[2]
    assert all(note in errors.splitlines() for note in notes)
    assert json.loads((home.folder / "runs" / "mine" / "notes.json").read_text()) == {"notes": notes}

    before = rows(home)
    cut(place / "validation" / "dog" / "5.jpg")
    process = home.start("verify", "--run", "mine", "--device", "quick", before=SMALL)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 2 and "1 of 52 images" in errors and "validation/dog/5.jpg" in errors
    assert rows(home) == before
