"""`benchmark nasbench201`: which experiments there are, and how one is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from harness.benchmark import ablations, main_experiment, predictor_experiment
from harness.benchmark.problem import Problem
from harness.benchmark.rows import Row
from harness.errors import UsageError
from harness.tables.nasbench201 import load

# Each yields the rows of one seed.
EXPERIMENTS: dict[str, Callable[[Problem, int], Iterator[Row]]] = {
    "main": main_experiment.run,
    "predictor": predictor_experiment.run,
    "schemes": ablations.schemes,
    "estimators": ablations.estimators,
    "constraints": ablations.constraints,
    "device-fraction": ablations.device_fraction,
}


def run(
    data: Path, experiment: str, seeds: int, on_row: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """Run an experiment with seeds 0 to `seeds` - 1 and return its rows; `on_row` gets each when it is known.

    Raises UsageError for an unknown experiment or when `data` holds no tables.
    """
    if experiment not in EXPERIMENTS:
        raise UsageError(f"no experiment {experiment!r}; known: {', '.join(EXPERIMENTS)}")
    problem = Problem(load(data))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small lose more to the hand-over between threads than they gain
    try:
        return [row for seed in range(seeds) for row in EXPERIMENTS[experiment](problem, seed)]
    finally:
        torch.set_num_threads(threads)
