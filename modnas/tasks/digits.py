"""Handwritten digits of scikit-learn: 1,797 grey images of 8x8 pixels, part of the package.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
"""

from __future__ import annotations

from pathlib import Path

import torch

from modnas.tasks.augment import Augment
from modnas.tasks.base import Split, Task, image_task, stratified_order

TEST_COUNT = 539  # 30 %
VALID_SHARE = 25 / 70
_SPLIT_SEED = 20  # the test images are the same for every seed, or errors could not be compared


def digits(seed: int = 0, limit: int | None = None) -> Task:
    """1,258 images to train with (809 train, 449 valid) and 539 to test; `limit` caps the 1,258.

    `seed` divides train from valid; the test images are always the same.
    """
    from sklearn.datasets import load_digits  # slow to import

    data = load_digits()
    images = torch.from_numpy(data.images).to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(data.target).long()
    order = stratified_order(labels, _SPLIT_SEED)
    test, pool = order[:TEST_COUNT], order[TEST_COUNT:]
    return image_task(
        "digits",
        10,
        Split(images[pool], labels[pool]),
        Split(images[test], labels[test]),
        valid_share=VALID_SHARE,
        seed=seed,
        limit=limit,
        augmentation=Augment(shift=1),
    )


def packaged(_data_dir: Path | None, seed: int, limit: int | None) -> Task:
    """`digits` as the registry calls it: no folder is read."""
    return digits(seed, limit)
