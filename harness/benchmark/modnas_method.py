"""MODNAS on the NAS-Bench-201 tables: MetaPredictor and accuracy surrogate, one search, a front a device."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from harness.benchmark.problem import CHANCE_ERROR, FRONT_SIZE, KNOWN_CELLS, Floats, Problem
from modnas import indicators
from modnas.front import FrontPoint, distinct
from modnas.predictor import MetaPredictor, fit_predictor
from modnas.refinement import descend, select
from modnas.search import Search, SearchConfig, SearchDevice
from modnas.spaces import Architecture
from modnas.surrogate import AccuracySurrogate, fit_surrogate

# A short search: few steps with a large learning rate and neighbouring preferences learning together.
CONFIG = SearchConfig(
    epochs=10,
    steps_per_epoch=40,
    learning_rate=0.1,
    smoothing=5,
    preferences_per_step=4,
    front_size=FRONT_SIZE,
)
_VALIDATE_EVERY = 2


@dataclass(frozen=True)
class Models:
    """What stands in for measurements and trainings within a search.

    `error_bounds`: smallest and largest error, percent, of `evaluated`, which the surrogate was fitted on.
    """

    predictor: MetaPredictor
    surrogate: AccuracySurrogate
    error_bounds: tuple[float, float]
    evaluated: tuple[Architecture, ...]


def fit_models(
    problem: Problem, seed: int, devices: Sequence[str] | None = None, evaluations: int = KNOWN_CELLS
) -> Models:
    """Fit the predictor on the search devices (or on `devices`), the surrogate on `evaluations` networks."""
    tables = [problem.known(device) for device in devices or problem.search_devices]
    evaluated = problem.evaluated(evaluations, seed)
    errors = problem.error(evaluated)
    surrogate = fit_surrogate(problem.space, evaluated, errors, CHANCE_ERROR, seed)
    bounds = float(errors.min()), float(errors.max())
    return Models(fit_predictor(problem.space, tables, seed=seed), surrogate, bounds, tuple(evaluated))


def search_device(problem: Problem, models: Models, name: str) -> SearchDevice:
    """A device as the search sees it: its references and the predictor; bounds are of predictions."""
    references = torch.as_tensor(problem.references(name))
    bound = models.predictor.bound(references)

    def predict(samples: Tensor) -> Tensor:
        return bound(samples).unsqueeze(1)

    with torch.no_grad():
        values = predict(problem.space.encode(problem.evaluated(KNOWN_CELLS, seed=0)))
    scaled = (references - references.min()) / (references.max() - references.min())
    return SearchDevice(name, scaled.float(), predict, values.amin(0), values.amax(0))


def run_search(
    problem: Problem, models: Models, devices: Sequence[SearchDevice], config: SearchConfig
) -> Search:
    """Search on the given devices; the state kept is the best by predicted hypervolume."""
    search = Search(
        problem.space,
        None,
        devices,
        train_batches=lambda epoch: (),
        valid_batches=lambda epoch: itertools.repeat(None),
        task_loss=models.surrogate,
        config=replace(config, error_bounds=models.error_bounds),
    )
    while not search.finished:
        search.run_epoch()
        if search.finished or search.epoch % _VALIDATE_EVERY == 0:
            search.validate()
    return search


def read_off(search: Search, device: SearchDevice) -> list[Architecture]:
    """The front as the paper reads it: the most likely architecture of each preference."""
    return [point.architecture for point in distinct(search.front(device.features))]


def refined(
    problem: Problem, models: Models, device: SearchDevice, points: Sequence[FrontPoint]
) -> list[Architecture]:
    """A front refined on predictions (see `modnas.refinement`)."""
    found, values = descend(problem.space, points, lambda some: _predicted(problem, models, device, some))
    return [found[i].architecture for i in select(values, FRONT_SIZE)]


def best_evaluated(problem: Problem, models: Models, device: SearchDevice) -> list[Architecture]:
    """No search at all: the best of what was evaluated, by true errors and predicted latencies."""
    values = _predicted(problem, models, device, models.evaluated)
    low, high = models.error_bounds
    values[:, 0] = (problem.error(models.evaluated) - low) / (high - low)
    return [models.evaluated[i] for i in select(values, FRONT_SIZE)]


@torch.no_grad()
def _predicted(
    problem: Problem, models: Models, device: SearchDevice, architectures: Sequence[Architecture]
) -> Floats:
    """Predicted error and latency, (n, 2), scaled by what was evaluated and what is predicted for that."""
    samples = problem.space.encode(architectures)
    both = torch.cat([models.surrogate(samples).unsqueeze(1), device.predict(samples)], 1)
    low = np.array([models.error_bounds[0], float(device.low[0])])
    high = np.array([models.error_bounds[1], float(device.high[0])])
    return indicators.scale(both.numpy(), low, high)
