"""Reading Fashion-MNIST and CIFAR-10, whole and damaged."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import torch

from modnas.tasks import TASK_NAMES, TaskError, get_task
from modnas.tasks.cifar10 import read_batch
from modnas.tasks.fashion_mnist import DEFAULT_DIRECTORY, read_idx


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def fashion(tmp_path):
    """A small data set in the files of Fashion-MNIST: train gzipped, test plain."""
    random = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            if prefix == "train":
                (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (tmp_path / name).write_bytes(idx(array))
    return tmp_path


def test_fashion_mnist(fashion):
    task = get_task("fashion-mnist", fashion)
    assert task.input_shape == (1, 28, 28)
    assert [len(task.split(s).targets) for s in ("train", "valid", "test")] == [50, 10, 20]
    assert task.test.targets.tolist() == [*range(10), *range(10)]
    # The pixels themselves, up to the normalisation, in the order of the file.
    pixels = read_idx(fashion / "t10k-images-idx3-ubyte", 3).float().flatten()
    assert torch.corrcoef(torch.stack([pixels, task.test.inputs.flatten()]))[0, 1] > 0.9999
    assert len(get_task("fashion-mnist", fashion, limit=30).train.targets) == 25


@pytest.mark.skipif(not DEFAULT_DIRECTORY.is_dir(), reason=f"no Fashion-MNIST in {DEFAULT_DIRECTORY}")
def test_the_real_fashion_mnist():
    task = get_task("fashion-mnist", limit=600)
    assert len(task.train.targets) == 500
    assert task.test.targets.bincount().tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "its header says"),
        (lambda data: data + b"\0", "its header says"),
        (lambda data: b"", "not an IDX file"),
        (lambda data: data[:10], "not an IDX file"),
        (lambda data: b"\1" + data[1:], "not an IDX file"),
        (lambda data: data[:2] + b"\x0d" + data[3:], "not an IDX file"),
        (lambda data: data[:3] + b"\1" + data[4:], "not an IDX file"),
        (lambda data: data[:4] + b"\xff" * 12 + data[16:], "its header says"),
    ],
)
def test_damaged_idx_files_are_refused(fashion, damage, message):
    path = fashion / "t10k-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TaskError, match=message) as caught:
        get_task("fashion-mnist", fashion)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 30, 2000])
def test_damaged_gzip_files_are_refused(fashion, keep):
    path = fashion / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TaskError, match="replace the file"):
        get_task("fashion-mnist", fashion)


def test_labels_must_fit_the_images(fashion):
    path = fashion / "t10k-labels-idx1-ubyte"
    path.write_bytes(idx(np.zeros(19, np.uint8)))
    with pytest.raises(TaskError, match="for 19 labels"):
        get_task("fashion-mnist", fashion)
    path.write_bytes(idx(np.full(20, 10, np.uint8)))
    with pytest.raises(TaskError, match="label 10"):
        get_task("fashion-mnist", fashion)


def test_missing_fashion_mnist_says_what_helps(tmp_path, fashion):
    with pytest.raises(TaskError, match=r"--data-dir.*dataset-fashion-mnist"):
        get_task("fashion-mnist", tmp_path / "nowhere")
    (fashion / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(TaskError, match=r"no t10k-images-idx3-ubyte.*--data-dir"):
        get_task("fashion-mnist", fashion)


def records(labels, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1)


@pytest.fixture
def cifar(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "data_batch_1.bin").write_bytes(records(list(range(10)) * 3, 1).tobytes())
    (folder / "data_batch_3.bin").write_bytes(records(list(range(10)) * 2, 2).tobytes())
    (folder / "test_batch.bin").write_bytes(records(list(range(10)), 3).tobytes())
    return folder


def test_cifar10(cifar):
    for folder in (cifar, cifar.parent):
        task = get_task("cifar10", folder)
        assert task.input_shape == (3, 32, 32)
        assert [len(task.split(s).targets) for s in ("train", "valid", "test")] == [25, 25, 10]
    assert len(get_task("cifar10", cifar, limit=20).train.targets) == 10


def test_cifar10_pixels_are_red_then_green_then_blue_row_by_row(cifar):
    path = cifar / "test_batch.bin"
    images, labels = read_batch(path)
    raw = path.read_bytes()
    assert labels.tolist() == list(range(10))
    assert images[2, 1, 5, 7] == raw[2 * 3073 + 1 + 1024 + 5 * 32 + 7]


def test_the_slice_of_cifar10(data_dir):
    task = get_task("cifar10", data_dir, limit=1000)
    assert len(task.train.targets) == len(task.valid.targets) == 500
    assert task.test.targets.bincount().tolist() == [200] * 10


def test_damaged_cifar10_is_refused(cifar):
    path = cifar / "data_batch_3.bin"
    whole = path.read_bytes()
    for data, message in (
        (whole[:-1], "record of 3073"),
        (b"", "record of 3073"),
        (b"\x0a" + whole[1:], "label 10"),
    ):
        path.write_bytes(data)
        with pytest.raises(TaskError, match=message) as caught:
            get_task("cifar10", cifar)
        assert str(path) in str(caught.value)


def test_missing_cifar10_says_what_helps(cifar, tmp_path):
    with pytest.raises(TaskError, match="--data-dir"):
        get_task("cifar10")
    with pytest.raises(TaskError, match=r"no data_batch_\*\.bin"):
        get_task("cifar10", tmp_path / "nowhere")
    (cifar / "test_batch.bin").unlink()
    with pytest.raises(TaskError, match=r"no test_batch\.bin"):
        get_task("cifar10", cifar)


def test_the_registry_knows_its_names(fashion, cifar):
    folders = {"digits": None, "fashion-mnist": fashion, "cifar10": cifar}
    assert set(TASK_NAMES) == {*folders, "image-folder", "translation"}
    for name, folder in folders.items():
        assert get_task(name, folder).name == name
    with pytest.raises(TaskError, match=r"no task 'mnist'.*digits"):
        get_task("mnist")
