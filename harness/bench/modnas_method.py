"""MODNAS on the NAS-Bench-201 tables: MetaPredictor and accuracy surrogate, one search, a front a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from harness.bench import table_search
from harness.bench.problem import CHANCE_ERROR, FRONT_SIZE, KNOWN_CELLS, Floats, Problem
from modnas.accuracy import sotl
from modnas.accuracy.active import evaluate_actively
from modnas.accuracy.surrogate import AccuracySurrogate, fit_surrogate
from modnas.prediction import MetaPredictor, fit_predictor
from modnas.search import Search, SearchConfig, SearchDevice
from modnas.search.front import FrontPoint
from modnas.search.refinement import Score, refine, score_on, select
from modnas.spaces import Architecture

# A short search: few steps with a large learning rate and neighbouring preferences learning together.
CONFIG = SearchConfig(
    epochs=10,
    steps_per_epoch=40,
    learning_rate=0.1,
    smoothing=5,
    preferences_per_step=4,
    front_size=FRONT_SIZE,
)
# Of the evaluations, so many are drawn at random before the others are chosen, in so many rounds.
_START, _ROUNDS = 300, 4

Choice = Literal["active", "random"]
Predictors = Mapping[str, MetaPredictor]


@dataclass(frozen=True)
class Models:
    """What stands in for measurements and trainings within a search.

    `predictors`: by metric; `evaluated`: true errors, percent, which the surrogate was fitted on;
    `error_bounds`: the smallest and the largest of them.
    """

    predictors: Predictors
    surrogate: AccuracySurrogate
    error_bounds: tuple[float, float]
    evaluated: Mapping[Architecture, float]


def fit_models(
    problem: Problem, seed: int, devices: Sequence[str] | None = None, choice: Choice = "active"
) -> Models:
    """Fit the predictors on the search devices (or on `devices`) and the surrogate on 900 evaluated cells.

    `choice`: of the cells. `active`: a third at random, the others where the fronts of these devices are
    expected (see `modnas.accuracy.active`); `random`: all of them uniform among the networks without dead
    operators.
    """
    known = list(problem.search_devices if devices is None else devices)
    predictors = {
        metric: fit_predictor(problem.space, [problem.known(d, metric) for d in known], seed=seed)
        for metric in problem.metrics
    }
    if choice == "random":
        evaluated = problem.sample(KNOWN_CELLS, seed)
    else:
        evaluated = _evaluate_actively(problem, predictors, known, seed)
    errors = problem.error(evaluated)
    surrogate = fit_surrogate(problem.space, evaluated, errors, CHANCE_ERROR, seed)
    bounds = float(errors.min()), float(errors.max())
    return Models(predictors, surrogate, bounds, dict(zip(evaluated, errors.tolist(), strict=True)))


def _evaluate_actively(
    problem: Problem, predictors: Predictors, devices: Sequence[str], seed: int
) -> list[Architecture]:
    everything = problem.space.encode(problem.usable)

    def fit(evaluated: Sequence[Architecture], errors: Floats) -> Floats:
        surrogate = fit_surrogate(problem.space, evaluated, errors, CHANCE_ERROR, seed)
        with torch.no_grad():
            expected: Floats = surrogate(everything).double().numpy()
        return expected

    with torch.no_grad():
        metrics = [_bind(problem, predictors, d)(everything).double().numpy() for d in devices]
    return evaluate_actively(
        problem.usable,
        metrics,
        problem.error,
        fit,
        budget=KNOWN_CELLS,
        start=_START,
        rounds=_ROUNDS,
        seed=seed,
    )


def _bind(problem: Problem, predictors: Predictors, device: str) -> Callable[[Tensor], Tensor]:
    """One-hot samples (n, width) to the metrics of a device (n, M - 1)."""
    bound = [
        predictor.bound(torch.as_tensor(problem.references(device, metric)))
        for metric, predictor in predictors.items()
    ]
    return lambda samples: torch.stack([one(samples) for one in bound], 1)


def search_device(problem: Problem, models: Models, name: str) -> SearchDevice:
    """A device as the search sees it: its references and the predictors; bounds are of predictions."""
    sample = problem.space.encode(problem.sample(KNOWN_CELLS, seed=0))
    references = {metric: problem.references(name, metric) for metric in problem.metrics}
    return SearchDevice.known(name, references, models.predictors, sample)


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
        models.surrogate,
        config,
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
    others = list(models.evaluated) if evaluated else []
    score = _score(problem, models, device)
    front = refine(problem.space, points, score, FRONT_SIZE, plain=False, others=others)
    return [point.architecture for point in front]


def best_evaluated(problem: Problem, models: Models, device: SearchDevice) -> list[Architecture]:
    """No search at all: the best of what was evaluated, by true errors and predicted metrics."""
    evaluated = list(models.evaluated)
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

    @torch.no_grad()
    def errors(architectures: Sequence[Architecture]) -> Floats:
        expected = models.surrogate(problem.space.encode(architectures)).tolist()
        return np.array([models.evaluated.get(a, e) for a, e in zip(architectures, expected, strict=True)])

    return score_on(problem.space, device, errors, models.error_bounds)
