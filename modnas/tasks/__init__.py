"""Data sets with their losses and errors."""

from modnas.tasks.base import Split, Task
from modnas.tasks.errors import NAMED, DamagedDataError, TaskError
from modnas.tasks.protocol import AnyTask
from modnas.tasks.registry import TASK_NAMES, get_task

__all__ = ["NAMED", "TASK_NAMES", "AnyTask", "DamagedDataError", "Split", "Task", "TaskError", "get_task"]
