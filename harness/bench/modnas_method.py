"""MODNAS on the NAS-Bench-201 tables: MetaPredictor and accuracy surrogate, one search, a front a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from harness.bench.problem import CHANCE_ERROR, FRONT_SIZE, Problem
from harness.bench.table_search import TableModels
from harness.runs.predictors import Predictors, range_sample
from modnas.accuracy import sotl
from modnas.accuracy.evaluated import Choice, evaluate_and_fit
from modnas.accuracy.surrogate import AccuracySurrogate
from modnas.prediction import MetaPredictor, fit_predictor
from modnas.search import SearchConfig, SearchDevice
from modnas.search.refinement import select
from modnas.spaces import Architecture
from modnas.spaces.nasbench201.presets import PRESETS

# What `search --preset tables` does, so that a benchmark is a user's run.
PRESET = PRESETS["tables"]
CONFIG = SearchConfig(**PRESET.search, front_size=FRONT_SIZE)
# The same with the paper's MetaHypernetwork and its gradients.
PAPER = replace(CONFIG, hypernetwork="paper", learning="gradients")


@dataclass(frozen=True)
class Models(TableModels):
    """The models of one search: its predictors by metric, and the cells that its surrogate was fitted on."""

    task_loss: AccuracySurrogate
    evaluated: Sequence[Architecture] = ()
    predictors: Predictors = field(default_factory=dict)


def fit_models(
    problem: Problem, seed: int, searched: Sequence[str] | None = None, choice: Choice = "active"
) -> Models:
    """Fit the predictors on the search devices (or on those `searched`) and the surrogate on evaluated cells.

    `choice`: of the cells. `active`: a third at random, the others where the fronts of these devices are
    expected (see `modnas.accuracy.active`); `random`: all of them uniform among the usable cells.
    """
    known = problem.search_devices if searched is None else searched
    predictors = _fit_all(problem, seed, known)
    devices = _devices(problem, predictors, seed)
    accuracy = evaluate_and_fit(
        problem.space,
        problem.error,
        [devices[name] for name in known],
        budget=problem.budget,
        choice=choice,
        chance=CHANCE_ERROR,
        seed=seed,
        pool=lambda: problem.usable,
    )
    return Models(
        problem.space,
        devices,
        accuracy.task_loss,
        accuracy.errors,
        accuracy.bounds,
        plain=False,
        budget=PRESET.refine,
        validate_every=PRESET.validate_every,
        evaluated=list(accuracy.evaluated),
        predictors=predictors,
    )


def fit_devices(problem: Problem, seed: int, known: Sequence[str]) -> dict[str, SearchDevice]:
    """All devices, by predictors that are fitted on those `known`."""
    return _devices(problem, _fit_all(problem, seed, known), seed)


def _fit_all(problem: Problem, seed: int, known: Sequence[str]) -> Predictors:
    return {metric: fit_on(problem, known, metric, seed) for metric in problem.metrics}


def _devices(problem: Problem, predictors: Predictors, seed: int) -> dict[str, SearchDevice]:
    sample = range_sample(problem.space, seed)
    return {name: _device(problem, predictors, name, sample) for name in problem.devices}


def fit_on(problem: Problem, searched: Sequence[str], metric: str, seed: int) -> MetaPredictor:
    """The predictor of a metric that a search on these devices has."""
    tables = [problem.measured(device, metric, seed) for device in searched]
    return fit_predictor(problem.space, tables, seed=seed)


def _device(
    problem: Problem, predictors: Predictors, name: str, sample: Sequence[Architecture]
) -> SearchDevice:
    references = {metric: problem.references(name, metric) for metric in problem.metrics}
    return SearchDevice.known(name, references, predictors, problem.space.encode(sample))


def best_evaluated(models: Models, name: str) -> list[Architecture]:
    """No search at all: the best of what was evaluated, by true errors and predicted metrics."""
    return [models.evaluated[i] for i in select(models.score(name)(models.evaluated), FRONT_SIZE)]


def short_listed(
    problem: Problem, device: SearchDevice, front: Sequence[Architecture]
) -> list[Architecture] | None:
    """What of a front would be trained to the end. The tables have no training losses: accuracies after 12
    epochs stand in for their sum; None without them."""
    errors = problem.short_error(front)
    if errors is None:
        return None
    with torch.no_grad():
        metrics = device.predict(problem.space.encode(front)).double().numpy()
    return [front[i] for i in sotl.kept(errors, metrics)]
