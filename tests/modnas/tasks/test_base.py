"""Splits, batches, loss and error of tasks."""

from __future__ import annotations

import math

import pytest
import torch

from modnas.tasks import TaskError, get_task
from modnas.tasks.augment import Augment
from modnas.tasks.base import Split, image_task, seeded_generator, stratified_order


@pytest.fixture(scope="module")
def digits():
    return get_task("digits")


def made_task(limit=None, seed=0, count=100):
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(count) % 5
    images = torch.randint(0, 256, (count, 2, 6, 6), generator=generator, dtype=torch.uint8)
    images[:, 1] //= 4
    test = Split(images[:20], labels[:20])
    return image_task("made", 5, Split(images, labels), test, valid_share=0.3, seed=seed, limit=limit)


def test_digits_splits(digits):
    assert digits.input_shape == (1, 8, 8)
    assert digits.classes == 10
    assert [len(digits.split(s).targets) for s in ("train", "valid", "test")] == [809, 449, 539]
    for name in ("train", "valid", "test"):
        share = digits.split(name).targets.bincount() / len(digits.split(name).targets)
        assert (share - 0.1).abs().max() < 0.01
    assert digits.train.inputs.dtype == torch.float32
    assert digits.train.inputs.mean().abs() < 1e-5
    assert (digits.train.inputs.std() - 1).abs() < 1e-5


def test_digits_splits_do_not_overlap(digits):
    images = torch.cat([digits.split(s).inputs.flatten(1) for s in ("train", "valid", "test")])
    assert len(images.unique(dim=0)) == len(images) == 1797


def test_the_seed_moves_train_and_valid_but_not_test(digits):
    other = get_task("digits", seed=1)
    assert torch.equal(other.test.targets, digits.test.targets)
    assert not torch.equal(other.train.targets, digits.train.targets)
    again = get_task("digits", seed=1)
    assert torch.equal(again.train.inputs, other.train.inputs)


def test_channels_are_normalised_separately():
    task = made_task()
    assert torch.allclose(task.train.inputs.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(task.train.inputs.std(dim=(0, 2, 3)), torch.ones(2), atol=1e-5)


def test_limit_caps_train_and_valid_together_and_keeps_the_classes():
    task = made_task(limit=40)
    assert (len(task.train.targets), len(task.valid.targets), len(task.test.targets)) == (28, 12, 20)
    assert torch.cat([task.train.targets, task.valid.targets]).bincount().tolist() == [8] * 5


def test_a_limit_below_two_a_class_is_refused():
    with pytest.raises(TaskError, match="at least 10"):
        made_task(limit=9)


@pytest.mark.parametrize("seed", range(5))
def test_every_prefix_of_a_stratified_order_has_the_classes_in_their_shares(seed):
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    order = stratified_order(labels, seed)
    assert order.sort().values.tolist() == list(range(100))
    for size in (20, 50, 90):
        counts = labels[order[:size]].bincount(minlength=3) / size
        assert (counts - torch.tensor([0.6, 0.3, 0.1])).abs().max() <= 2 / size


def test_batches_are_a_function_of_seed_epoch_and_split(digits):
    def first(split="train", **arguments):
        return next(digits.batches(split, 32, augment=True, **arguments))

    base = first(epoch=2, seed=3)
    same = first(epoch=2, seed=3)
    assert torch.equal(base.inputs, same.inputs)
    assert torch.equal(base.targets, same.targets)
    for other in (first(epoch=3, seed=3), first(epoch=2, seed=4), first("valid", epoch=2, seed=3)):
        assert not torch.equal(base.inputs, other.inputs)


def test_batches_ignore_the_global_generator(digits):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    list(digits.batches("train", 500, augment=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 99, 100, 1000])
def test_one_pass_sees_every_image_once_in_even_batches(batch_size):
    task = made_task()
    batches = list(task.batches(("train", "valid"), batch_size))
    sizes = [len(b.targets) for b in batches]
    assert sum(sizes) == 100
    assert len(sizes) == math.ceil(100 / batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    seen = torch.cat([b.inputs for b in batches]).flatten(1)
    everything = torch.cat([task.train.inputs, task.valid.inputs]).flatten(1)
    assert torch.equal(seen.unique(dim=0), everything.unique(dim=0))


def test_inputs_stay_with_their_targets(digits):
    known = {row.numpy().tobytes(): int(t) for row, t in zip(*digits.valid, strict=True)}
    for inputs, targets in digits.batches("valid", 100, epoch=1):
        assert [known[row.numpy().tobytes()] for row in inputs] == targets.tolist()


@pytest.mark.parametrize(("split", "batch_size"), [("tests", 8), ((), 8), ("train", 0)])
def test_impossible_batches_are_refused(digits, split, batch_size):
    with pytest.raises(ValueError, match=r"split|batch_size"):
        next(digits.batches(split, batch_size))


def test_loss_and_error(digits):
    targets = torch.tensor([0, 1, 2, 3])
    logits = torch.zeros(4, 10)
    assert digits.loss(logits, targets).item() == pytest.approx(math.log(10))
    logits[torch.arange(4), torch.tensor([0, 1, 2, 9])] = 50.0
    assert digits.error(logits, targets) == 25.0
    assert digits.loss(logits[:3], targets[:3]).item() < 1e-6
    assert digits.loss(logits[:3], targets[:3], label_smoothing=0.1).item() > 1


def test_moving_a_task_keeps_everything(digits):
    moved = digits.to("cpu")
    assert torch.equal(moved.test.inputs, digits.test.inputs)
    assert (moved.name, moved.classes, moved.augmentation) == (
        digits.name,
        digits.classes,
        digits.augmentation,
    )


def test_seeded_generators_differ_in_every_number():
    draws = {
        tuple(torch.rand(2, generator=seeded_generator(*n)).tolist())
        for n in [(0, 1), (1, 0), (0,), (0, 1, 0)]
    }
    assert len(draws) == 4


def test_augment_without_settings_is_the_identity():
    images = torch.randn(3, 2, 5, 7)
    assert torch.equal(Augment()(images, torch.Generator()), images)


def test_flip_mirrors_about_half_of_the_images():
    images = torch.randn(400, 1, 4, 6)
    flipped = Augment(flip=True)(images, seeded_generator(0))
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 150 < int(mirrored.sum()) < 250


def test_shift_moves_images_by_all_offsets_within_its_limit():
    images = torch.zeros(500, 2, 5, 6)
    images[:, :, 2, 3] = 1.0
    moved = Augment(shift=1)(images, seeded_generator(0))
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert (moved.sum(dim=(1, 2, 3)) == 2).all()
    places = {tuple(p) for p in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert places == {(r, c) for r in (1, 2, 3) for c in (2, 3, 4)}


def test_shift_fills_with_zeros():
    moved = Augment(shift=2)(torch.ones(50, 1, 4, 4), seeded_generator(1))
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert moved.sum(dim=(1, 2, 3)).min() == 4  # shifted by two in both directions


def test_cutout_blanks_at_most_its_square():
    cut = Augment(cutout=3)(torch.ones(300, 2, 8, 8), seeded_generator(2))
    blank = (cut == 0).all(dim=1).sum(dim=(1, 2))
    assert int(blank.max()) == 9
    assert 4 <= int(blank.min()) < 9  # centred on the border
    assert set(cut.unique().tolist()) == {0.0, 1.0}
