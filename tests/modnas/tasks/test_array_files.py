"""CIFAR-10 and Fashion-MNIST in files that are damaged, missing or other than published: all of it told."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from modnas.tasks import DamagedDataError, TaskError, get_task
from modnas.tasks.base import Split, image_task

RECORD = 3073


def records(count: int, seed: int) -> bytes:
    made = np.random.default_rng(seed).integers(0, 256, (count, RECORD), dtype=np.uint8)
    made[:, 0] = np.arange(count) % 10
    return made.tobytes()


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    for n in range(1, 6):
        (tmp_path / f"data_batch_{n}.bin").write_bytes(records(20, n))
    (tmp_path / "test_batch.bin").write_bytes(records(20, 6))
    return tmp_path


def labelled(path: Path, *wrong: int) -> None:
    data = bytearray(path.read_bytes())
    for record in wrong:
        data[record * RECORD] = 10 + record
    path.write_bytes(data)


def cut(path: Path, to: int) -> None:
    path.write_bytes(path.read_bytes()[:to])


def copied(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


#: What is done to the files, and all that is wrong with them then.
DAMAGED: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "ended too early": (
        lambda f: [cut(f / f"data_batch_{n}.bin", 5000) for n in (2, 4)],
        ["data_batch_2.bin has 5000 bytes", "data_batch_4.bin has 5000 bytes"],
    ),
    "wrong labels": (
        lambda f: [labelled(f / "data_batch_1.bin", 3, 9), labelled(f / "test_batch.bin", 0)],
        [
            "data_batch_1.bin has the label 13 (image 4, in all 2 such",
            "test_batch.bin has the label 10 (image 1",
        ],
    ),
    "never filled": (
        lambda f: (f / "data_batch_3.bin").write_bytes(bytes(20 * RECORD)),
        ["data_batch_3.bin has 20 times the same image"],
    ),
    "empty, and another": (
        lambda f: [(f / "data_batch_5.bin").write_bytes(b""), cut(f / "test_batch.bin", 1)],
        ["data_batch_5.bin has 0 bytes", "test_batch.bin has 1 bytes"],
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_all_damaged_batches_are_named(cifar: Path, name: str) -> None:
    change, told = DAMAGED[name]
    change(cifar)
    with pytest.raises(DamagedDataError) as caught:
        get_task("cifar10", cifar)
    assert "\n" not in str(caught.value) and len(caught.value.problems) == len(told)
    for part in told:
        assert part in str(caught.value)


#: What is done to the files, how many images are to train with then, and what is told besides.
OTHER: dict[str, tuple[Callable[[Path], object], int, list[str]]] = {
    "as they are": (lambda f: None, 100, ["other than 10,000 images in data_batch_1.bin (20)"]),
    "batches missing": (
        lambda f: [(f / f"data_batch_{n}.bin").unlink() for n in (2, 5)],
        60,
        ["not there: data_batch_2.bin, data_batch_5.bin"],
    ),
    "a batch besides": (
        lambda f: (f / "data_batch_6.bin").write_bytes(records(20, 9)),
        120,
        ["besides the five published: data_batch_6.bin"],
    ),
    "a copy by its name": (
        lambda f: copied(f / "data_batch_1.bin", f / "data_batch_1 (1).bin"),
        100,
        ["not used: data_batch_1 (1).bin"],
    ),
    "a copy by its content": (
        lambda f: copied(f / "data_batch_1.bin", f / "data_batch_2.bin"),
        100,
        ["images to train with that are there already: 20"],
    ),
    "test images to train with": (
        lambda f: copied(f / "test_batch.bin", f / "data_batch_2.bin"),
        100,
        ["images of test that are also trained on: 20"],
    ),
    "a class missing": (
        lambda f: (f / "test_batch.bin").write_bytes(records(8, 6)),
        100,
        ["no image in test of the classes 8, 9"],
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_files_other_than_published_are_told(cifar: Path, name: str) -> None:
    change, count, told = OTHER[name]
    change(cifar)
    task = get_task("cifar10", cifar)
    assert task.count(("train", "valid")) == count
    assert task.notes[0].startswith(f"cifar10: images: {count // 2} train, {count // 2} valid")
    for part in told:
        assert any(part in note for note in task.notes), task.notes


def test_what_a_limit_leaves_out_is_told(cifar: Path) -> None:
    notes = get_task("cifar10", cifar, limit=30).notes
    assert notes[:2] == (
        "cifar10: images: 15 train, 15 valid, 20 test",
        "cifar10: images to train with beyond the limit not used: 70",
    )


def test_pixels_without_a_deviation_are_refused() -> None:
    pool = Split(torch.zeros(20, 1, 4, 4, dtype=torch.uint8), torch.arange(20) % 2)
    with pytest.raises(TaskError, match="all pixels to train with are the same"):
        image_task("made", 2, pool, pool, valid_share=0.5, seed=0, limit=None)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    for n, (prefix, count) in enumerate((("train", 60), ("t10k", 20))):
        images = np.random.default_rng(n).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


def test_all_damaged_and_all_missing_files_are_named(fashion: Path) -> None:
    cut(fashion / "train-images-idx3-ubyte.gz", 400)
    (fashion / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.full(60, 11, np.uint8))))
    (fashion / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros((20, 28, 28), np.uint8))))
    with pytest.raises(DamagedDataError, match="--data-dir") as caught:
        get_task("fashion-mnist", fashion)
    images, labels, same = caught.value.problems
    assert "cannot read" in images and "train-images" in images
    assert "has the label 11 (image 1, in all 60" in labels and "20 times the same image" in same
    for path in fashion.glob("*-labels-*"):
        path.unlink()
    with pytest.raises(DamagedDataError, match=r"no train-labels.*no t10k-labels"):
        get_task("fashion-mnist", fashion)


def test_a_checksum_of_a_packed_file_is_looked_at(fashion: Path) -> None:
    path = fashion / "t10k-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    data[-5] ^= 255
    path.write_bytes(data)
    with pytest.raises(DamagedDataError, match="CRC"):
        get_task("fashion-mnist", fashion)


@pytest.mark.parametrize(("images", "zeros"), [(20, 200_000_000), (2**32 - 1, 10_000_000)])
def test_no_more_is_unpacked_than_the_header_says(fashion: Path, images: int, zeros: int) -> None:
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, images, 28, 28)
    with gzip.open(fashion / "t10k-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(zeros // 1_000_000):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(DamagedDataError, match="its header says"):
            get_task("fashion-mnist", fashion)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_is_there_packed_and_unpacked_is_told(fashion: Path) -> None:
    path = fashion / "t10k-images-idx3-ubyte.gz"
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    notes = get_task("fashion-mnist", fashion).notes
    assert "fashion-mnist: not used: t10k-images-idx3-ubyte.gz" in notes
