"""Tasks by name."""

from __future__ import annotations

from pathlib import Path

from modnas.core.task import AnyTask
from modnas.tasks.cifar10 import cifar10
from modnas.tasks.digits import digits
from modnas.tasks.errors import TaskError
from modnas.tasks.fashion_mnist import fashion_mnist

TASK_NAMES = ("digits", "fashion-mnist", "cifar10", "image-folder", "translation")


def get_task(name: str, data_dir: Path | None = None, seed: int = 0, limit: int | None = None) -> AnyTask:
    """The task called `name`, one of TASK_NAMES.

    Args:
        data_dir: folder of the data set's files; `digits` needs none, `fashion-mnist` and `translation` have
            a default.
        seed: divides the training images (or sentences) into train and valid.
        limit: cap on the training images or sentences (train and valid together), for quick runs.

    Raises:
        TaskError: no such task, or its files are missing or damaged.
    """
    if name == "digits":
        return digits(seed, limit)
    if name == "fashion-mnist":
        return fashion_mnist(data_dir, seed, limit)
    if name == "cifar10":
        return cifar10(data_dir, seed, limit)
    if name == "image-folder":
        from modnas.tasks.image_folder import image_folder  # its package is needed by no other task

        return image_folder(data_dir, seed, limit)
    if name == "translation":
        from modnas.tasks.translation import translation  # likewise

        return translation(data_dir, seed, limit)
    raise TaskError(f"no task {name!r}: it is one of {', '.join(TASK_NAMES)}")
