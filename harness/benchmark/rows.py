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
    seed: int | None
    metric: str
    value: float
    evaluations: int | None
    seconds: float


def summary(rows: list[Row], groups: dict[str, list[str]]) -> list[tuple[str, str, str, float, float, int]]:
    """(method, metric, group, mean, smallest, figures) over the devices of each group and all seeds."""
    found = []
    for method, metric in dict.fromkeys((row.method, row.metric) for row in rows):
        for group, devices in groups.items():
            values = [
                row.value
                for row in rows
                if row.method == method and row.metric == metric and row.device in devices
            ]
            if values:
                found.append((method, metric, group, sum(values) / len(values), min(values), len(values)))
    return found
