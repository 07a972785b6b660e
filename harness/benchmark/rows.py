"""What a benchmark reports: one figure a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        experiment: the experiment it belongs to.
        method: what was tried.
        device: the device it was judged on.
        group: `search` or `unseen`, whether the method knew the device.
        seed: of everything random in the method; None where nothing is.
        metric: what `value` is.
        value: the figure.
        evaluations: accuracies of the table that the method has used in all, the front's own included; None
            where no accuracy is involved.
        seconds: wall-clock time of the method for all devices together.
    """

    experiment: str
    method: str
    device: str
    group: str
    seed: int | None
    metric: str
    value: float
    evaluations: int | None
    seconds: float


def summary(rows: list[Row]) -> list[tuple[str, str, str, float, float, float, int]]:
    """(method, metric, group of devices, mean, smallest, largest, figures) over devices and seeds."""
    found = []
    for key in dict.fromkeys((row.method, row.metric, row.group) for row in rows):
        values = [row.value for row in rows if (row.method, row.metric, row.group) == key]
        found.append((*key, sum(values) / len(values), min(values), max(values), len(values)))
    return found
