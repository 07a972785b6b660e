"""MODNAS on the NAS-Bench-201 tables: MetaPredictor and accuracy surrogate, one search, a front a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from harness.bench import table_search
from harness.bench.problem import CHANCE_ERROR, FRONT_SIZE, Problem
from harness.runs.predictors import Predictors, range_sample
from modnas.accuracy import sotl
from modnas.accuracy.evaluated import Choice, EvaluatedAccuracy, evaluate_and_fit
from modnas.prediction import fit_predictor
from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.front import FrontPoint
from modnas.search.refinement import Score, refine, score_on, select
from modnas.spaces import Architecture
from modnas.spaces.nasbench201.presets import PRESETS

# What `search --preset tables` does, so that a benchmark is a user's run.
PRESET = PRESETS["tables"]
CONFIG = SearchConfig(**PRESET.search, front_size=FRONT_SIZE)


@dataclass(frozen=True)
class Models:
    """What stands in for measurements and trainings within a search.

    `predictors`: by metric; `accuracy`: a surrogate and the true errors, percent, which it was fitted on;
    `error_bounds`: the smallest and the largest that it expects in a sample of the space.
    """

    predictors: Predictors
    accuracy: EvaluatedAccuracy
    error_bounds: tuple[float, float]

    @property
    def evaluated(self) -> list[Architecture]:
        """Architectures whose true errors are known."""
        return list(self.accuracy.evaluated)


def fit_models(
    problem: Problem, seed: int, devices: Sequence[str] | None = None, choice: Choice = "active"
) -> Models:
    """Fit the predictors on the search devices (or on `devices`) and the surrogate on evaluated cells.

    `choice`: of the cells. `active`: a third at random, the others where the fronts of these devices are
    expected (see `modnas.accuracy.active`); `random`: all of them uniform among the usable cells.
    """
    known = list(problem.search_devices if devices is None else devices)
    predictors = {
        metric: fit_predictor(problem.space, [problem.measured(d, metric, seed) for d in known], seed=seed)
        for metric in problem.metrics
    }
    accuracy = evaluate_and_fit(
        problem.space,
        problem.error,
        [search_device(problem, predictors, name, seed) for name in known],
        budget=problem.budget,
        choice=choice,
        chance=CHANCE_ERROR,
        seed=seed,
        pool=lambda: problem.usable,
    )
    expected = accuracy.errors(range_sample(problem.space, seed))
    return Models(predictors, accuracy, (float(expected.min()), float(expected.max())))


def search_device(problem: Problem, predictors: Predictors, name: str, seed: int) -> SearchDevice:
    """A device as the search sees it: its references and the predictors; bounds are of predictions."""
    sample = problem.space.encode(range_sample(problem.space, seed))
    references = {metric: problem.references(name, metric) for metric in problem.metrics}
    return SearchDevice.known(name, references, predictors, sample)


def run_search(
    problem: Problem,
    models: Models,
    devices: Sequence[SearchDevice],
    config: SearchConfig,
    on_epoch: Callable[[Search], None] = lambda search: None,
) -> Search:
    """Search on the given devices; the state kept is the best by predicted hypervolume."""
    return table_search.run_search(
        problem.space,
        devices,
        models.accuracy.task_loss,
        config,
        validate_every=PRESET.validate_every,
        error_bounds=models.error_bounds,
        on_epoch=on_epoch,
    )


def refined(
    problem: Problem,
    models: Models,
    device: SearchDevice,
    points: Sequence[FrontPoint],
    evaluated: bool = False,
) -> list[Architecture]:
    """A front refined on predictions, and on errors where they are known (see `modnas.search.refinement`).

    `evaluated`: choose from all that was evaluated too, not only from what the descents met.
    """
    others = models.evaluated if evaluated else []
    score = _score(problem, models, device)
    front = refine(problem.space, points, score, FRONT_SIZE, budget=PRESET.refine, plain=False, others=others)
    return [point.architecture for point in front]


def best_evaluated(problem: Problem, models: Models, device: SearchDevice) -> list[Architecture]:
    """No search at all: the best of what was evaluated, by true errors and predicted metrics."""
    evaluated = models.evaluated
    return [evaluated[i] for i in select(_score(problem, models, device)(evaluated), FRONT_SIZE)]


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


def _score(problem: Problem, models: Models, device: SearchDevice) -> Score:
    """Errors, true ones where they were evaluated, and predicted metrics."""
    return score_on(problem.space, device, models.accuracy.errors, models.error_bounds)
