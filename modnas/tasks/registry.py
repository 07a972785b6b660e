"""Tasks by name: the built-in ones and those other packages offer as `modnas.tasks` entry points."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from modnas.core.registry import Registry, UnknownNameError
from modnas.core.task import AnyTask
from modnas.tasks.errors import TaskError


class TaskFactory(Protocol):
    """Makes a task.

    Args:
        data_dir: folder of the data set's files; None where it comes with a package, or to take a default.
        seed: divides the training items into train and valid.
        limit: cap on the training items (train and valid together), for quick runs; None: all.

    Raises:
        TaskError: files are missing or damaged.
    """

    def __call__(self, data_dir: Path | None, seed: int, limit: int | None) -> AnyTask: ...


TASKS: Registry[TaskFactory] = Registry(
    "task",
    "modnas.tasks",
    {
        "digits": "modnas.tasks.digits:packaged",
        "fashion-mnist": "modnas.tasks.fashion_mnist:fashion_mnist",
        "cifar10": "modnas.tasks.cifar10:cifar10",
        "image-folder": "modnas.tasks.image_folder:image_folder",
        "translation": "modnas.tasks.translation:translation",
    },
    expected="a function (data_dir, seed, limit) that makes a task",
)
# Those that come with the project; `task_names` has the others too.
TASK_NAMES = tuple(TASKS.built_in)


def task_names() -> list[str]:
    """Names that `get_task` knows."""
    return TASKS.names()


def get_task(name: str, data_dir: Path | None = None, seed: int = 0, limit: int | None = None) -> AnyTask:
    """The task called `name`, one of `task_names()`.

    Args:
        data_dir: folder of the data set's files; `digits` needs none, `fashion-mnist` and `translation` have
            a default.
        seed: divides the training images (or sentences) into train and valid.
        limit: cap on the training images or sentences (train and valid together), for quick runs.

    Raises:
        TaskError: no such task, or its files are missing or damaged.
        PluginError: another package's, which cannot be used.
    """
    try:
        make = TASKS.load(name)
    except UnknownNameError as error:
        raise TaskError(str(error)) from error
    return make(data_dir, seed, limit)
