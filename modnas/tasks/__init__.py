"""Data sets with their losses and errors."""

from modnas.tasks.base import Split, Task, TaskError
from modnas.tasks.protocol import AnyTask
from modnas.tasks.registry import TASK_NAMES, get_task

__all__ = ["TASK_NAMES", "AnyTask", "Split", "Task", "TaskError", "get_task"]
