"""`benchmark hat`: which experiments there are, and how they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from harness.bench import hat_predictor, hat_search
from harness.bench.hat_search import HatProblem
from harness.bench.rows import Row, rows_of_seeds
from harness.core.errors import UsageError
from harness.datasets.hat import load

# Each yields the rows of one seed.
EXPERIMENTS: dict[str, Callable[[HatProblem, int], Iterator[Row]]] = {
    "main": hat_search.run,
    "predictor": hat_predictor.run,
}


def run(data: Path, experiment: str, seeds: int) -> list[Row]:
    """Run an experiment, or `all` of them, with seeds 0 to `seeds` - 1.

    Raises UsageError for an unknown experiment or when `data` holds no tables.
    """
    if experiment not in (*EXPERIMENTS, "all"):
        raise UsageError(f"no experiment {experiment!r}; known: {', '.join(EXPERIMENTS)}, all")
    chosen = list(EXPERIMENTS.values()) if experiment == "all" else [EXPERIMENTS[experiment]]
    problem = HatProblem.fit(load(data))
    return rows_of_seeds(chosen, problem, seeds)
