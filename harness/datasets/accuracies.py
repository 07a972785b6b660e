"""Published accuracies: errors of networks that others trained on a task, as they lie in the store.

They lie beside the tables of devices, under the task's name with a mark that no device's name has, and the
rules of those hold: later imports add and replace, and values of networks of one size are never mixed with
those of another.
"""

from __future__ import annotations

from harness.devices.table import StoredTable, stored_table
from harness.store import ERROR_METRIC, Store
from modnas.spaces import Space


def accuracies_name(task: str) -> str:
    """Under which name the store has a task's accuracies."""
    return f"task:{task}"


def published_accuracies(store: Store, task: str, space: Space) -> StoredTable | None:
    """Errors in percent of networks of a space on a task; None where there are none.

    Those of networks of the space's own size are preferred. Raises UsageError as `stored_table` does.
    """
    return stored_table(store, accuracies_name(task), space, ERROR_METRIC)
