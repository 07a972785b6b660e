"""The built-in tasks pass what is asked of other packages', and the checks find what is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modnas.spaces import get_space, space_presets
from modnas.tasks import AnyTask, Task, get_task
from modnas.testing import check_task
from modnas.testing.tasks import _linear as linear
from modnas.testing.tasks import (
    check_batches,
    check_description,
    check_division,
    check_errors,
    check_limit,
    check_variants,
)


def test_digits_conform() -> None:
    check_task("digits")
    check_task("digits", limit=100)


def test_an_image_folder_conforms(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 6)):
        for label in ("cat", "dog"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    check_task("image-folder", tmp_path)


def test_a_translation_conforms(tmp_path: Path) -> None:
    words = [a + b for a in "bdfgklm" for b in "aeiou"]
    draw = np.random.default_rng(0)
    for split, count in (("train", 300), ("valid", 40), ("test", 20)):
        sentences = [list(draw.choice(words, int(draw.integers(2, 9)))) for _ in range(count)]
        (tmp_path / f"{split}.de").write_text("".join(f"{' '.join(s)}\n" for s in sentences))
        (tmp_path / f"{split}.en").write_text("".join(f"{' '.join(reversed(s))}\n" for s in sentences))
    (folder := tmp_path.parent / "de-en").symlink_to(tmp_path)

    def network(task: AnyTask) -> torch.nn.Module:
        size = space_presets("transformer")["small"].space
        space = get_space("transformer", **size, classes=task.classes, input_shape=task.input_shape)
        return space.network(space.references[0])

    check_task("translation", folder, network=network)


@pytest.fixture
def digits() -> Task:
    found = get_task("digits", limit=100)
    assert isinstance(found, Task)
    return found


def test_what_is_wrong_with_a_task_is_said(digits: Task) -> None:
    with pytest.raises(AssertionError, match="calls itself 'digits'"):
        check_description(digits, "other")
    shifted = digits.valid._replace(targets=digits.valid.targets + 5)
    with pytest.raises(AssertionError, match="valid: targets"):
        check_batches(dataclasses.replace(digits, valid=shifted))
    other = dataclasses.replace(get_task("digits", seed=1, limit=100), test=digits.valid)
    with pytest.raises(AssertionError, match="in two ways"):
        check_division(digits, other, other)
    with pytest.raises(AssertionError, match="depend on the seed"):
        check_division(digits, digits, other)
    with pytest.raises(AssertionError, match="has no gradient"):
        check_errors(as_a(Untrained, digits), linear(digits))
    with pytest.raises(AssertionError, match="beyond the limit"):
        check_limit(digits, digits)
    with pytest.raises(AssertionError, match="cuts the test"):
        check_limit(digits, dataclasses.replace(get_task("digits", limit=50), test=digits.valid))


class Untrained(Task):
    def loss(self, *arguments):  # type: ignore[no-untyped-def]
        return super().loss(*arguments).detach()


def as_a(kind: type[Task], task: Task) -> Task:
    return kind(**{field.name: getattr(task, field.name) for field in dataclasses.fields(task)})


def test_a_task_in_the_order_of_its_file_is_found(digits: Task) -> None:
    class Ordered(Task):
        def batches(self, split, batch_size, **_):  # type: ignore[no-untyped-def, override]
            return super().batches(split, batch_size)

    with pytest.raises(AssertionError, match="same order"):
        check_batches(as_a(Ordered, digits))


def test_validation_beyond_its_split_is_found(digits: Task) -> None:
    class Wider(Task):
        @property
        def validation(self):  # type: ignore[no-untyped-def]
            return [self.test]

    with pytest.raises(AssertionError, match="validation"):
        check_variants(as_a(Wider, digits))
