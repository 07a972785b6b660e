"""What identifies the content of a task's data, wherever they lie."""

from __future__ import annotations

from pathlib import Path

from harness.core.home import typed_path
from harness.datasets.fingerprint import Fingerprint, Tell, fingerprint
from modnas.tasks.data_files import data_files

# The content of tasks that come with a package. It needs no mention: runs and evaluations from before
# contents were recorded are of it.
PACKAGED = {"digits": "c3d70e9a3562e9dff2b8fa311c365d945917f2b51ec1a2552c5a0c374965b9f0"}


def absolute(task: str, data_dir: Path | None) -> str | None:
    """A task's folder so that it is valid in every working directory; None where the task reads none."""
    return None if data_dir is None or task in PACKAGED else str(typed_path(data_dir))


def look_at(task: str, data_dir: str | None = None, tell: Tell | None = None) -> Fingerprint:
    """The content of a task's files now; `tell` as in `fingerprint`. Raises TaskError and UsageError."""
    return fingerprint(*data_files(task, Path(data_dir) if data_dir else None), tell)


def identity(task: str, data: Fingerprint) -> str | None:
    """What identifies a task's content, None where it is the one that comes with a package."""
    return None if data.sha256 == PACKAGED.get(task) else data.sha256


def place(task: str, data_dir: str | None) -> str:
    """Where a task's files are, for a person."""
    return data_dir or str(data_files(task).root)
