"""`benchmark nasbench201`: which experiments there are, and how one is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.bench import (
    ablations,
    budgets,
    costs,
    main_experiment,
    predictor_experiment,
    three_objectives,
)
from harness.bench.claims import Claim, claims
from harness.bench.plots import write_page
from harness.bench.problem import Problem
from harness.bench.rows import Row, rows_of_seeds
from harness.core.errors import UsageError
from harness.core.home import write_atomically
from harness.datasets.nasbench201 import load

# Each yields the rows of one seed.
EXPERIMENTS: dict[str, Callable[[Problem, int], Iterator[Row]]] = {
    "main": main_experiment.run,
    "predictor": predictor_experiment.run,
    "schemes": ablations.schemes,
    "estimators": ablations.estimators,
    "constraints": ablations.constraints,
    "three-objectives": three_objectives.run,
    "device-fraction": ablations.device_fraction,
    "costs": costs.run,
    "budgets": budgets.run,
}


@dataclass(frozen=True)
class Report:
    """What an experiment gave, and what it says of the paper's claims."""

    experiment: str
    rows: list[Row]
    claims: list[Claim]


def run(data: Path, experiment: str, seeds: int, out: Path | None = None) -> Report:
    """Run an experiment with seeds 0 to `seeds` - 1.

    `out`: a folder for `<experiment>.html`, with the plots, and `<experiment>.json`, with the rows.

    Raises UsageError for an unknown experiment or when `data` holds no tables.
    """
    if experiment not in EXPERIMENTS:
        raise UsageError(f"no experiment {experiment!r}; known: {', '.join(EXPERIMENTS)}")
    problem = Problem(load(data))
    rows = rows_of_seeds([EXPERIMENTS[experiment]], problem, seeds)
    report = Report(experiment, rows, claims(experiment, rows))
    if out is not None:
        write_page(out, experiment, rows, report.claims, problem)
        write_atomically(out / f"{experiment}.json", json.dumps(asdict(report), allow_nan=False))
    return report
