"""Baselines on the published NAS-Bench-201 tables: how good, at how many evaluations, in what time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from harness.bench.modnas_method import Models, fit_models
from harness.bench.problem import Problem as TableProblem
from harness.bench.rows import Row
from harness.core.errors import UsageError
from harness.datasets.nasbench201 import NasBench201Tables
from harness.datasets.nasbench201_quality import TableQuality
from modnas.baselines import BaselineError, Problem, Proposals, get_method, method_names
from modnas.baselines import Models as BaselineModels
from modnas.baselines.base import Model
from modnas.prediction import DeviceTable
from modnas.prediction.help import HelpPredictor, meta_learn
from modnas.search import SearchDevice
from modnas.spaces.nasbench201.space import REFERENCE_INDICES, NasBench201


@dataclass
class BaselinesReport:
    """What `run_baselines` found.

    `meta_learning_seconds` is what HELP's predictor took, by seed: once for all devices, so that it is in no
    row. So are `model_seconds`, which the models took that some methods search on. `failures` has one reason
    for each method that could not run.
    """

    rows: list[Row] = field(default_factory=list)
    meta_learning_seconds: dict[int, float] = field(default_factory=dict)
    model_seconds: dict[int, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_baselines(
    tables: NasBench201Tables,
    methods: Sequence[str],
    devices: Sequence[str],
    *,
    dataset: str = "cifar10",
    budget: int = 24,
    seeds: int = 1,
    on_row: Callable[[Row], None] = lambda row: None,
) -> BaselinesReport:
    """Run every method on every device with the seeds 0, 1, ..., each with `budget` true evaluations.

    Of methods that search on models the rows count also the evaluations that these were fitted on: 900 random
    cells. A method that cannot run is reported and skipped, the others go on.

    Raises:
        UsageError: an unknown method, device or data set, or nothing to do.
    """
    unknown = [name for name in methods if name not in method_names()]
    if unknown or not methods:
        raise UsageError(f"no baseline {', '.join(unknown) or 'named'}; known: {', '.join(method_names())}")
    if budget < 1 or seeds < 1 or not devices:
        raise UsageError("baselines need a device, a budget and a number of seeds of at least 1 each")
    qualities = [TableQuality(tables, device, dataset) for device in devices]
    report = BaselinesReport()
    proposals = help_proposals(tables, report.meta_learning_seconds.__setitem__)
    models = table_models(TableProblem(tables, dataset=dataset), report.model_seconds.__setitem__)
    for method in methods:
        try:
            for quality in qualities:
                for seed in range(seeds):
                    problem = table_problem(quality, proposals, partial(_models_on, models, quality.device))
                    row = _run(method, quality, problem, budget=budget, seed=seed, report=report)
                    report.rows.append(row)
                    on_row(row)
        except BaselineError as error:
            report.failures[method] = str(error)
    return report


def _run(
    method: str,
    quality: TableQuality,
    problem: Problem,
    *,
    budget: int,
    seed: int,
    report: BaselinesReport,
) -> Row:
    def shared() -> float:
        """What the devices share is not this one's time, though it may fall into it."""
        return sum([*report.meta_learning_seconds.values(), *report.model_seconds.values()])

    before = shared()
    began = time.monotonic()
    found = get_method(method)(problem, budget, seed)
    seconds = time.monotonic() - began - (shared() - before)
    return Row(
        experiment="baselines",
        method=method,
        device=quality.device,
        group="unseen" if quality.device in quality.tables.reference["devices"]["meta_test"] else "search",
        seed=seed,
        metric="hypervolume_ratio",
        value=quality.hypervolume_ratio(found),
        evaluations=len(problem.told),
        seconds=seconds,
        cells=tuple(quality.indices(found)),
    )


def table_problem(
    quality: TableQuality,
    proposals: Proposals | None = None,
    models: Callable[[int], BaselineModels] | None = None,
) -> Problem:
    """One device and data set of the tables as a baseline sees them."""
    return Problem(
        NasBench201(),
        quality.device,
        lambda architectures: quality.objectives[quality.indices(architectures)],
        quality.tables.latency_ms[quality.device][list(REFERENCE_INDICES)],
        proposals=proposals,
        glimpse=lambda architectures: quality.short_objectives[quality.indices(architectures)],
        models=models,
    )


def _models_on(models: Callable[[int], Models], device: str, seed: int) -> BaselineModels:
    return models_of(models(seed), device)


def models_of(models: Models, device: str) -> BaselineModels:
    """A search's models as a baseline asks them: the accuracy surrogate, and the device's MetaPredictor."""
    return BaselineModels(first_metric(models.devices[device]), models.task_loss, tuple(models.evaluated))


def first_metric(device: SearchDevice) -> Model:
    """What is predicted of a device's first metric."""
    return lambda onehot: device.predict(onehot)[:, 0]


def table_models(problem: TableProblem, on_fitted: Callable[[int, float], None]) -> Callable[[int], Models]:
    """Models by seed, fitted on random cells when they are first asked for; `on_fitted` gets the seed and the
    seconds."""

    @cache
    def fitted(seed: int) -> Models:
        began = time.monotonic()
        models = fit_models(problem, seed, choice="random")
        on_fitted(seed, time.monotonic() - began)
        return models

    return fitted


def help_proposals(tables: NasBench201Tables, on_learned: Callable[[int, float], None]) -> Proposals:
    """MetaD2A's published candidates, and HELP's predictor as its paper meta-learns it: on the search
    devices' first 900 cells, when it is first asked for. `on_learned` gets the seed and the seconds."""
    space = NasBench201()
    splits: dict[str, list[str]] = tables.reference["devices"]
    first, last = tables.reference["help_protocol"]["train_index_range"]
    cells = [space.at(index) for index in range(first, last)]

    @cache
    def predictor(seed: int) -> HelpPredictor:
        began = time.monotonic()
        learned = [
            DeviceTable(
                name,
                tables.latency_ms[name][list(REFERENCE_INDICES)],
                cells,
                tables.latency_ms[name][first:last],
            )
            for name in (*splits["meta_train"], *splits["meta_valid"])
        ]
        found = meta_learn(space, learned, seed=seed)
        on_learned(seed, time.monotonic() - began)
        return found

    candidates = tuple(space.at(int(index)) for index in tables.metad2a)
    return Proposals(candidates, tuple(tables.metad2a_scores.tolist()), predictor)


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Per method and device: mean, least and largest value over the seeds, and mean seconds."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.device), []).append(row)
    return [
        {
            "method": method,
            "device": device,
            "mean": sum(row.value for row in group) / len(group),
            "min": min(row.value for row in group),
            "max": max(row.value for row in group),
            "evaluations": group[0].evaluations,
            "seconds": sum(row.seconds for row in group) / len(group),
        }
        for (method, device), group in groups.items()
    ]
