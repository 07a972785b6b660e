"""What benchmarks and baselines report: one figure a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from harness.bench.problem import FRONT_SIZE, Problem
from modnas.spaces import Architecture

# Metric of a search's present front after some epochs: this and their number.
EPOCH_METRIC = "hypervolume_ratio@"
# What an experiment is run on.
Tables = TypeVar("Tables")


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        experiment: the experiment it belongs to.
        method: what was tried.
        device: the device it was judged on.
        group: `search` or `unseen`: whether the device is one of those a search may know; or a split.
        seed: of everything random in the method; None where nothing is.
        metric: what `value` is.
        value: the figure.
        evaluations: accuracies of the table that the method has used in all, the front's own included; None
            where no accuracy is involved.
        seconds: wall-clock time of the method for all devices together; of a baseline, on this device.
        cells: the front that the figure is of, as published indices; with the hypervolume's row only.
        networks: the same as canonical strings, of a space whose networks nobody has numbered.
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
    cells: tuple[int, ...] = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fronts:
    """What a method found: at most 24 architectures a device.

    `evaluated`: whose errors it was told before it proposed its fronts, for all devices together;
    `seconds`: its wall-clock time, likewise.
    """

    by_device: dict[str, list[Architecture]]
    evaluated: Sequence[Architecture]
    seconds: float

    def rows(self, problem: Problem, experiment: str, method: str, seed: int) -> Iterator[Row]:
        """All figures of all fronts. A device's evaluations include its own front's, none twice.

        Raises ValueError for a front larger than all methods may propose.
        """
        for device, front in self.by_device.items():
            if len(front) > FRONT_SIZE:
                raise ValueError(f"{method} proposes {len(front)} architectures, not {FRONT_SIZE}")
            group, evaluations = problem.group(device), len({*self.evaluated, *front})
            for metric, value in problem.judge(device, front).items():
                cells = tuple(problem.indices(front)) if metric == "hypervolume_ratio" else ()
                yield Row(
                    experiment, method, device, group, seed, metric, value, evaluations, self.seconds, cells
                )


def rows_of_seeds(
    experiments: Iterable[Callable[[Tables, int], Iterator[Row]]], tables: Tables, seeds: int
) -> list[Row]:
    """All rows of experiments with seeds 0 to `seeds` - 1, on one thread of PyTorch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small lose more to the hand-over between threads than they gain
    try:
        return [row for one in experiments for seed in range(seeds) for row in one(tables, seed)]
    finally:
        torch.set_num_threads(threads)


def summary(rows: Sequence[Row]) -> list[tuple[str, str, str, float, float, float, int]]:
    """(method, metric, group of devices, mean, smallest, largest, figures) over devices and seeds;
    rows of single epochs are left out."""
    found = []
    rows = [row for row in rows if not row.metric.startswith(EPOCH_METRIC)]
    for key in dict.fromkeys((row.method, row.metric, row.group) for row in rows):
        values = [row.value for row in rows if (row.method, row.metric, row.group) == key]
        found.append((*key, sum(values) / len(values), min(values), max(values), len(values)))
    return found
