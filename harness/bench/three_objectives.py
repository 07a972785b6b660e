"""Experiment `three-objectives`: error, latency and energy on the two devices whose tables have energy.

As in the paper, both are search devices. Energies are reconstructed (see `docs/benchmarks.md`), and the
FPGA's is proportional to its latency, so that it has two objectives in truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from harness.bench.modnas_method import (
    CONFIG,
    best_evaluated,
    fit_models,
)
from harness.bench.problem import FRONT_SIZE, Floats, Problem
from harness.bench.rows import Fronts, Row
from harness.bench.table_search import read_off
from modnas.baselines import Problem as BaselineProblem
from modnas.baselines import get_method
from modnas.spaces import Architecture

DEVICES = ("eyeriss", "fpga")
METRICS = ("latency", "energy")
BASELINES = ("rs", "rhpn")


def three_objectives(problem: Problem) -> Problem:
    """The same tables with three objectives."""
    return Problem(problem.tables, METRICS, search_devices=DEVICES, unseen_devices=())


def run(problem: Problem, seed: int) -> Iterator[Row]:
    """MODNAS as read off and refined, what it evaluated, and the random baselines with 24 evaluations."""
    problem = three_objectives(problem)
    for name, fronts in {**_modnas(problem, seed), **_baselines(problem, seed)}.items():
        yield from fronts.rows(problem, "three-objectives", name, seed)


def _modnas(problem: Problem, seed: int) -> dict[str, Fronts]:
    began = time.monotonic()
    models = fit_models(problem, seed)
    search = models.search(problem.devices, replace(CONFIG, seed=seed))

    def refined(name: str) -> list[Architecture]:
        return models.refined(name, search.proposals(models.devices[name]), FRONT_SIZE, models.evaluated)

    ways: dict[str, Callable[[str], list[Architecture]]] = {
        "modnas": refined,
        "modnas-readoff": lambda d: read_off(search, models.devices[d]),
        "best-evaluated": lambda d: best_evaluated(models, d),
    }
    found = {name: {d: way(d) for d in problem.devices} for name, way in ways.items()}
    seconds = time.monotonic() - began
    return {name: Fronts(fronts, models.evaluated, seconds) for name, fronts in found.items()}


def _baselines(problem: Problem, seed: int) -> dict[str, Fronts]:
    found = {}
    for name in BASELINES:
        began = time.monotonic()
        fronts = {d: get_method(name)(_counted(problem, d), FRONT_SIZE, seed) for d in problem.devices}
        found[name] = Fronts(fronts, (), time.monotonic() - began)
    return found


def _counted(problem: Problem, device: str) -> BaselineProblem:
    def measure(architectures: Sequence[Architecture]) -> Floats:
        return problem.objectives(device)[problem.indices(architectures)]

    references = np.concatenate([problem.references(device, metric) for metric in problem.metrics])
    return BaselineProblem(problem.space, device, measure, references, objectives=1 + len(problem.metrics))
