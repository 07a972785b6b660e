"""The task `image-folder`: files found and divided, decoded, augmented, in an order, and every refusal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from modnas.accuracy.training import train
from modnas.tasks import TaskError, get_task
from modnas.tasks.image_decoding import MEAN, SD, central_box, decode, random_box

CLASSES = ("cat", "dog", "emu")


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def fill(folder, counts, seed=0):
    """Images of random colours and sizes, half of them PNG and half JPEG."""
    random = np.random.default_rng(seed)
    for name, count in counts.items():
        for n in range(count):
            height, width = random.integers(20, 50, 2)
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            save(folder / name / f"{n:03}.{('png', 'JPG')[n % 2]}", pixels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    fill(place / "train", {"cat": 40, "dog": 20, "emu": 10})
    fill(place / "val", dict.fromkeys(CLASSES, 4), seed=1)
    (place / "train" / "notes.txt").write_text("not a class")
    (place / "train" / "dog" / "notes.txt").write_text("not an image")
    (place / "train" / "dog" / "._000.jpg").write_text("not an image either")
    (place / "train" / ".cache").mkdir()
    return place


@pytest.fixture(scope="module")
def task(folder):
    return get_task("image-folder", folder).resized(16)


def names(files):
    return {"/".join(path.rsplit("/", 3)[1:]) for path in files.paths}


def image(mean_removed):
    """Pixels 0 to 255, (height, width, 3), of what `decode` gives."""
    return (mean_removed.transpose(1, 2, 0) * SD + MEAN) * 255


def test_splits(task):
    assert task.classes == 3
    assert task.chance_error == pytest.approx(200 / 3)
    assert [task.count((split,)) for split in ("train", "valid", "test")] == [56, 14, 12]
    assert task.count(("train", "valid")) == 70
    assert task.train.targets.bincount().tolist() == [32, 16, 8]
    assert task.valid.targets.bincount().tolist() == [8, 4, 2]
    assert not names(task.train) & names(task.valid)
    assert len(names(task.train) | names(task.valid)) == 70
    for split in ("train", "valid", "test"):
        files = task.split(split)
        assert [CLASSES.index(path.split("/")[-2]) for path in files.paths] == files.targets.tolist()


def test_the_seed_moves_train_and_valid_but_not_test(folder):
    first, again, other = (get_task("image-folder", folder, seed=seed) for seed in (0, 0, 1))
    assert first.train.paths == again.train.paths
    assert names(first.valid) != names(other.valid)
    assert first.test.paths == other.test.paths


def test_limit_caps_train_and_valid_together_by_class(folder):
    task = get_task("image-folder", folder, limit=35)
    assert (task.count(("train", "valid")), task.count(("test",))) == (35, 12)
    assert (task.joined(("train", "valid")).targets.bincount() - torch.tensor([20, 10, 5])).abs().max() <= 1


def test_without_val_a_tenth_of_every_class_is_for_testing(tmp_path):
    fill(tmp_path / "train", {"cat": 40, "dog": 20, "emu": 3})
    tasks = [get_task("image-folder", tmp_path, seed=seed) for seed in (0, 5)]
    for task in tasks:
        assert task.test.targets.bincount().tolist() == [4, 2, 1]
        assert not names(task.test) & names(task.joined(("train", "valid")))
        assert task.count(("train", "valid", "test")) == 63
    assert tasks[0].test.paths == tasks[1].test.paths
    assert names(tasks[0].valid) != names(tasks[1].valid)
    # A folder called test takes its place, val comes before it.
    fill(tmp_path / "test", dict.fromkeys(CLASSES, 2))
    assert get_task("image-folder", tmp_path).count(("test",)) == 6
    fill(tmp_path / "val", dict.fromkeys(CLASSES, 1))
    assert get_task("image-folder", tmp_path).count(("test",)) == 3


@pytest.mark.parametrize("batch_size", [1, 9, 56, 70, 100])
def test_one_pass_sees_every_image_once_in_even_batches(task, batch_size):
    batches = list(task.batches(("train", "valid"), batch_size))
    sizes = [len(batch.targets) for batch in batches]
    assert (sum(sizes), len(sizes)) == (70, math.ceil(70 / batch_size))
    assert max(sizes) - min(sizes) <= 1
    for batch in batches:
        assert batch.inputs.shape == (len(batch.targets), *task.input_shape)
        assert batch.inputs.dtype == torch.float32
    assert len(torch.cat([batch.inputs for batch in batches]).flatten(1).unique(dim=0)) == 70


def test_inputs_stay_with_their_targets(task):
    known = {decode(path, 16).tobytes(): int(t) for path, t in zip(*task.valid, strict=True)}
    for inputs, targets in task.batches("valid", 5, epoch=1):
        assert [known[row.numpy().tobytes()] for row in inputs] == targets.tolist()


@pytest.mark.parametrize("augment", [False, True])
def test_batches_are_a_function_of_seed_epoch_and_split(task, augment):
    def first(split="train", **arguments):
        return next(task.batches(split, 14, augment=augment, **arguments)).inputs

    base = first(epoch=2, seed=3)
    assert torch.equal(base, first(epoch=2, seed=3))
    for other in (first(epoch=3, seed=3), first(epoch=2, seed=4), first("valid", epoch=2, seed=3)):
        assert not torch.equal(base, other)


def test_batches_depend_neither_on_workers_nor_on_the_global_generator(task):
    state = torch.get_rng_state()
    passes = [
        list(replace(task, workers=workers).batches("train", 6, seed=1, augment=True))
        for workers in (1, 2, 7)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    for other in passes[1:]:
        for (inputs, targets), (same_inputs, same_targets) in zip(passes[0], other, strict=True):
            assert torch.equal(inputs, same_inputs)
            assert torch.equal(targets, same_targets)


@pytest.mark.parametrize(("split", "batch_size"), [("tests", 8), ((), 8), ("train", 0)])
def test_impossible_batches_are_refused(task, split, batch_size):
    with pytest.raises(ValueError, match=r"split|batch_size"):
        next(task.batches(split, batch_size))


def test_validation_is_cached_and_cut_with_classes_in_their_shares(task):
    (inputs, targets), *more = task.scored_on(7).validation
    assert not more
    assert inputs.shape == (7, 3, 16, 16)
    assert targets.bincount().tolist() == [4, 2, 1]
    assert sum(len(batch[1]) for batch in task.validation) == 14
    assert task.validation is task.validation


def test_resized_moved_and_judged_on_valid(task):
    larger = task.resized(20).to("cpu")
    assert larger.input_shape == next(larger.batches("test", 1)).inputs.shape[1:] == (3, 20, 20)
    assert larger.resized(16).input_shape == (3, 16, 16)
    judged = task.judged_on_valid()
    assert judged.test.paths == task.valid.paths

    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(inputs), 3)

    assert task.test_error(Constant()) == pytest.approx(200 / 3)
    assert judged.test_error(Constant()) == pytest.approx(1000 / 14)


def test_an_image_is_judged_on_its_centre(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    save(tmp_path / "a.png", pixels)
    # Of a shorter side of 32 the central 28: cut after scaling, which is here by 1 and by one half.
    assert np.allclose(image(decode(str(tmp_path / "a.png"), 28)), pixels[2:30, 18:46], atol=0.01)
    half = np.asarray(Image.fromarray(pixels).resize((32, 16), Image.Resampling.BILINEAR))
    assert np.allclose(image(decode(str(tmp_path / "a.png"), 14)), half[1:15, 9:23], atol=1.01)


@given(st.integers(1, 3000), st.integers(1, 3000), st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4))
def test_boxes_lie_in_the_image(width, height, draws):
    for left, top, right, bottom in (central_box(width, height), random_box(width, height, draws)):
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


def test_random_parts_have_the_areas_and_aspects_they_should():
    numbers = np.random.default_rng(0).random((2000, 4))
    boxes = np.array([random_box(100, 100, row) for row in numbers])
    across, down = (boxes[:, 2:] - boxes[:, :2]).T
    free = (across < 100) & (down < 100)
    assert free.mean() > 0.7
    area = across * down / 100**2
    assert 0.08 <= area[free].min() < 0.1
    assert area.max() <= 1
    assert (across / down)[free].min() == pytest.approx(3 / 4, rel=0.02)
    assert (across / down)[free].max() == pytest.approx(4 / 3, rel=0.02)
    small = area < 0.2
    assert boxes[small, 0].min() < 5
    assert boxes[small, 2].max() > 95


def test_the_last_number_mirrors(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    save(tmp_path / "a.png", pixels)
    left, right = (decode(str(tmp_path / "a.png"), 12, [0.5, 0.5, 0.2, 0.7, last]) for last in (0.4, 0.6))
    assert np.array_equal(left, right[:, :, ::-1])
    assert not np.array_equal(left, right)


@pytest.mark.parametrize(
    ("mode", "suffix", "expected"),
    [
        ("RGB", "png", (200, 100, 50)),
        ("RGBA", "png", (200, 100, 50)),
        ("P", "png", (200, 100, 50)),
        ("P", "gif", (200, 100, 50)),
        ("L", "png", (124, 124, 124)),  # 0.299 R + 0.587 G + 0.114 B, ITU-R 601
        ("LA", "png", (124, 124, 124)),
        ("1", "png", (255, 255, 255)),
        ("CMYK", "jpg", (200, 100, 50)),
        ("L", "jpg", (124, 124, 124)),
        ("RGB", "webp", (200, 100, 50)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, suffix, expected):
    path = tmp_path / f"a.{suffix}"
    one = Image.new("RGB", (24, 24), (200, 100, 50))
    if mode == "1":
        one = Image.new("RGB", (24, 24), (255, 255, 255))
    (one.quantize() if mode == "P" else one.convert(mode)).save(path)
    with Image.open(path) as opened:
        assert opened.mode == mode or suffix == "webp"
    assert np.abs(image(decode(str(path), 8)) - expected).max() < 4


@pytest.mark.filterwarnings("error")
def test_transparent_palettes_keep_their_colours(tmp_path):
    one = Image.new("P", (24, 24), 1)
    one.putpalette([0, 0, 0, 10, 20, 30])
    one.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert np.allclose(image(decode(str(tmp_path / "a.png"), 8)), (10, 20, 30), atol=0.01)


def test_16_bits_are_scaled_and_32_refused(tmp_path):
    save(tmp_path / "a.png", np.full((24, 24), 128 * 256 + 7, np.uint16))
    assert np.allclose(image(decode(str(tmp_path / "a.png"), 8)), 128, atol=0.01)
    save(tmp_path / "a.tif", np.full((24, 24), 0.5, np.float32))
    with pytest.raises(TaskError, match=r"a\.tif \(32 bits"):
        decode(str(tmp_path / "a.tif"), 8)


def test_a_photo_is_turned_as_its_camera_was_held(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255  # light above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is above belongs on the right
    save(tmp_path / "a.jpg", pixels, exif=exif)
    shown = image(decode(str(tmp_path / "a.jpg"), 8))
    assert shown[:, -1].min() > 250
    assert shown[:, 0].max() < 5


def test_a_large_photo_is_decoded_in_part_and_looks_the_same(tmp_path):
    rows, columns = np.mgrid[0:640, 0:800]
    pixels = np.stack([rows // 3, columns // 4, (rows + columns) // 6], axis=-1).astype(np.uint8)
    for name in ("a.jpg", "a.png"):  # only JPEG can be decoded in part
        save(tmp_path / name, pixels)
    jpeg, png = (decode(str(tmp_path / name), 16, [0.3, 0.5, 0.5, 0.5, 0.9]) for name in ("a.jpg", "a.png"))
    assert np.abs(image(jpeg) - image(png)).max() < 4


@pytest.mark.parametrize("damage", ["", "not an image", None])
def test_an_unreadable_image_is_named(tmp_path, damage):
    fill(tmp_path / "train", dict.fromkeys(CLASSES, 8))
    bad = tmp_path / "train" / "dog" / "005.JPG"
    bad.write_bytes(bad.read_bytes()[:400] if damage is None else damage.encode())
    with pytest.raises(TaskError, match="replace the file") as caught:
        list(get_task("image-folder", tmp_path).resized(8).batches(("train", "valid", "test"), 4))
    assert str(bad) in str(caught.value)
    assert "\n" not in str(caught.value)


def nothing(place):
    pass


def unsorted(place):
    save(place / "train" / "a.png", np.zeros((8, 8, 3), np.uint8))


def one_class(place):
    fill(place / "train", {"cat": 5})


def empty_class(place):
    fill(place / "train", {"cat": 5, "dog": 5})
    (place / "train" / "emu").mkdir()


def lonely_images(place):
    fill(place / "train", {"cat": 5, "dog": 1})
    fill(place / "val", {"cat": 1, "dog": 1})


def flat_val(place):
    fill(place / "train", {"cat": 5, "dog": 5})
    save(place / "val" / "a.png", np.zeros((8, 8, 3), np.uint8))


def other_val(place):
    fill(place / "train", {"cat": 5, "dog": 5})
    fill(place / "val", {"cat": 1, "dog": 1, "emu": 1})


def missing_in_val(place):
    fill(place / "train", {"cat": 5, "dog": 5, "emu": 5})
    fill(place / "val", {"cat": 1, "dog": 1})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing, r"no folder train in .*--data-dir"),
        (unsorted, r"no class folders in .*train.*--data-dir"),
        (one_class, r"only the class folder cat in .*two classes"),
        (empty_class, r"emu has 0 image files.*3 are needed.*remove the class"),
        (lonely_images, r"dog has 1 image files.*2 are needed"),
        (flat_val, r"no class folders in .*val"),
        (other_val, r"only one of .*train and .*val has the class emu"),
        (missing_in_val, r"only one of .*train and .*val has the class emu"),
    ],
)
def test_other_layouts_are_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(TaskError, match=message) as caught:
        get_task("image-folder", tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folders_and_small_limits_are_refused(folder):
    with pytest.raises(TaskError, match="--data-dir"):
        get_task("image-folder")
    with pytest.raises(TaskError, match=r"no folder train in .*nowhere"):
        get_task("image-folder", folder / "nowhere")
    with pytest.raises(TaskError, match="at least 6"):
        get_task("image-folder", folder, limit=5)


def test_a_folder_that_may_not_be_listed_is_named(folder, monkeypatch):
    def denied(place):
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr("pathlib.Path.iterdir", denied)
    with pytest.raises(TaskError, match=r"cannot list .*train \(Permission denied\)"):
        get_task("image-folder", folder)


def test_a_network_learns_from_files(tmp_path):
    from sklearn.datasets import load_digits

    data = load_digits(n_class=4)
    for n, (pixels, label) in enumerate(zip(data.images[:400], data.target[:400], strict=True)):
        large = np.kron(pixels * 15, np.ones((4, 4))).astype(np.uint8)
        save(tmp_path / "train" / str(label) / f"{n}.png", large)
    task = get_task("image-folder", tmp_path).resized(16)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 16, 4),
        )
    result = train(network, task, epochs=8, batch_size=32, learning_rate=0.05)
    assert result.error < task.chance_error / 2
    assert result.losses[-1] < result.losses[0]
