"""Images, texts and arrays that are too large to be data are refused before memory is taken."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from bombs import MB, png_bomb
from memory import taken_mb
from PIL import Image

from modnas.tasks.cifar10 import read_batch
from modnas.tasks.errors import TaskError
from modnas.tasks.fashion_mnist import read_idx
from modnas.tasks.image_decoding import MOST_PIXELS, decode, flaw
from modnas.tasks.text_lines import read_lines


@pytest.mark.parametrize("side", [13_000, 14_000])  # below and above what Pillow opens
def test_images_of_too_many_pixels(tmp_path: Path, side: int) -> None:
    path = str(png_bomb(tmp_path / "f.png", side))
    error, grown = taken_mb(lambda: decode(path, 224))
    assert isinstance(error, TaskError) and path in str(error) and "\n" not in str(error)
    assert grown < 20
    reason = flaw(path)
    assert reason is not None and "pixels" in reason


def test_large_images_are_read(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5)
    error, grown = taken_mb(lambda: decode(str(png_bomb(tmp_path / "f.png", side)), 224))
    assert error is None and grown < 800
    Image.new("L", (12_000, 9_000), 128).save(tmp_path / "f.jpg")  # as the largest telephones make them
    error, grown = taken_mb(lambda: decode(str(tmp_path / "f.jpg"), 224))
    assert error is None and grown < 100
    assert flaw(str(tmp_path / "f.jpg")) is None


def test_arrays_that_say_they_are_large(tmp_path: Path) -> None:
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 5_000_000, 28, 28)
    (tmp_path / "f.gz").write_bytes(gzip.compress(header + bytes(MB)))
    error, grown = taken_mb(lambda: read_idx(tmp_path / "f.gz", 3))
    assert isinstance(error, TaskError) and grown < 20


def test_files_without_end(tmp_path: Path) -> None:
    path = tmp_path / "test.en"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    error, grown = taken_mb(lambda: read_batch(path))
    assert isinstance(error, TaskError) and str(path) in str(error) and grown < 20
    problems: list[str] = []
    assert read_lines(path, problems) == []
    assert len(problems) == 1 and str(path) in problems[0]
