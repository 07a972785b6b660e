"""Data sets with their losses and errors."""

from modnas.core.task import AnyTask
from modnas.tasks.base import Split, Task, image_task
from modnas.tasks.errors import NAMED, DamagedDataError, TaskError
from modnas.tasks.registry import TASK_NAMES, get_task, task_names

__all__ = [
    "NAMED",
    "TASK_NAMES",
    "AnyTask",
    "DamagedDataError",
    "Split",
    "Task",
    "TaskError",
    "get_task",
    "image_task",
    "task_names",
]
