"""The methods that are compared on the once-for-all tables: fronts of all 12 devices at one seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from harness.bench import table_search
from harness.bench.ofa_judge import Floats
from harness.bench.ofa_problem import FRONT_SIZE, OfaProblem
from harness.bench.table_search import read_off
from modnas.baselines import Problem, get_method, once_for_all
from modnas.prediction import MetaPredictor, fit_predictor
from modnas.prediction.help import meta_learn
from modnas.search import Search, SearchConfig, SearchDevice, preferences
from modnas.search.front import FrontPoint
from modnas.search.refinement import refine, score_on, select
from modnas.spaces import Architecture
from modnas.spaces.mobilenetv3 import MobileNetV3

# Networks that are measured on each device of the search, besides the references; as in HELP's protocol.
KNOWN = 900
# Networks a method measures on a device in all: MODNAS's, its references and its front.
BUDGET = KNOWN + 10 + FRONT_SIZE
GENERATIONS = 100

CONFIG = SearchConfig(
    epochs=10,
    steps_per_epoch=40,
    learning_rate=0.1,
    smoothing=5,
    preferences_per_step=4,
    tables=MobileNetV3.tables,
    front_size=FRONT_SIZE,
)
_SCALE_SAMPLE = 1000


@dataclass(frozen=True)
class OfaFronts:
    """What a method found: at most 24 architectures a device.

    `measured`: networks that it has measured on each device in all; `seconds`: wall-clock time for all
    devices together.
    """

    by_device: dict[str, list[Architecture]]
    measured: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class Models:
    """What a search asks: the predictor, and the devices with the range of what it predicts there."""

    predictor: MetaPredictor
    devices: dict[str, SearchDevice]
    error_bounds: tuple[float, float]


def fit_models(problem: OfaProblem, seed: int) -> Models:
    """Fit the predictor on the search devices; the unseen device is known by its references."""
    tables = [problem.known(device, KNOWN) for device in problem.search_devices]
    predictor = fit_predictor(problem.space, tables, seed=seed)
    sample = problem.space.encode(problem.space.sample(_SCALE_SAMPLE, torch.Generator().manual_seed(seed)))
    devices = {name: _device(problem, predictor, name, sample) for name in problem.devices}
    with torch.no_grad():
        errors = problem.accuracy(sample)
    return Models(predictor, devices, (float(errors.min()), float(errors.max())))


def _device(problem: OfaProblem, predictor: MetaPredictor, name: str, sample: Tensor) -> SearchDevice:
    references = {"latency": problem.references(name)}
    return SearchDevice.known(name, references, {"latency": predictor}, sample)


def run_search(problem: OfaProblem, models: Models, config: SearchConfig) -> Search:
    """One search on the search devices; the state kept is the best by predicted hypervolume."""
    devices = [models.devices[name] for name in problem.search_devices]
    return table_search.run_search(
        problem.space, devices, problem.accuracy, config, error_bounds=models.error_bounds
    )


def refined(
    problem: OfaProblem, models: Models, name: str, points: Sequence[FrontPoint]
) -> list[Architecture]:
    """A front refined on predictions (see `modnas.search.refinement`)."""
    score = score_on(problem.space, models.devices[name], problem.error, models.error_bounds)
    return [point.architecture for point in refine(problem.space, points, score, FRONT_SIZE)]


def modnas(problem: OfaProblem, seed: int) -> dict[str, OfaFronts]:
    """MODNAS and its ablations, by name.

    `modnas`: fronts refined on predictions; `modnas-readoff`: as read from the MetaHypernetwork;
    `refinement-only`: the same refinement from random networks, without a search.
    """
    began = time.monotonic()
    models = fit_models(problem, seed)
    fitted = time.monotonic() - began
    search = run_search(problem, models, replace(CONFIG, seed=seed))
    searched = time.monotonic() - began

    def timed(read: Callable[[str], list[Architecture]], before: float) -> OfaFronts:
        start = time.monotonic()
        fronts = {name: read(name) for name in problem.devices}
        asked = {name: 10 + (KNOWN if name in problem.search_devices else 0) for name in problem.devices}
        measured = {name: asked[name] + len(front) for name, front in fronts.items()}
        return OfaFronts(fronts, measured, before + time.monotonic() - start)

    generator = torch.Generator().manual_seed(seed)

    def random_starts() -> list[FrontPoint]:
        rows = preferences.spread(FRONT_SIZE, 2).tolist()
        starts = problem.space.sample(FRONT_SIZE, generator)
        return [FrontPoint(tuple(row), start) for row, start in zip(rows, starts, strict=True)]

    def by_search(name: str) -> list[FrontPoint]:
        return search.front(models.devices[name].features, FRONT_SIZE)

    return {
        "modnas": timed(lambda n: refined(problem, models, n, by_search(n)), searched),
        "modnas-readoff": timed(lambda n: read_off(search, models.devices[n]), searched),
        "refinement-only": timed(lambda n: refined(problem, models, n, random_starts()), fitted),
    }


def ofa_help(problem: OfaProblem, seed: int) -> dict[str, OfaFronts]:
    """Once-for-all's evolutionary search under 24 bounds on the latency that HELP's predictor predicts.

    The predictor is meta-learned on 900 networks of each search device. The bounds are evenly spaced between
    the fastest and the slowest of a random sample, as predicted.
    """
    began = time.monotonic()
    tables = [problem.known(device, KNOWN) for device in problem.search_devices]
    predictor = meta_learn(problem.space, tables, seed=seed)
    sample = problem.space.encode(problem.space.sample(_SCALE_SAMPLE, torch.Generator().manual_seed(seed)))
    fronts = {}
    for name in problem.devices:
        latency = predictor.bound(problem.references(name))
        low, high = (float(v) for v in latency(sample).aminmax())
        found = once_for_all.search(
            problem.space,
            problem.accuracy,
            latency,
            np.linspace(low, high, FRONT_SIZE).tolist(),
            generations=GENERATIONS,
            seed=seed,
        )
        fronts[name] = list(dict.fromkeys(found))
    measured = {
        name: 10 + len(front) + (KNOWN if name in problem.search_devices else 0)
        for name, front in fronts.items()
    }
    return {"ofa-help": OfaFronts(fronts, measured, time.monotonic() - began)}


def measured_only(problem: OfaProblem, seed: int) -> dict[str, OfaFronts]:
    """NSGA-II and random search, which measure as many networks on every device as MODNAS does on a device
    of the search; the best 24 of them by their measured objectives are the front."""
    found = {}
    for method in ("nsga2", "rs"):
        began, fronts = time.monotonic(), {}
        for name in problem.devices:

            def measure(architectures: Sequence[Architecture], name: str = name) -> Floats:
                return problem.scaled(name, architectures)

            asked = Problem(problem.space, name, measure, problem.references(name))
            evaluated = get_method(method)(asked, BUDGET, seed)
            chosen = select(asked.evaluate(evaluated), FRONT_SIZE)
            fronts[name] = [evaluated[i] for i in chosen]
        found[method] = OfaFronts(fronts, dict.fromkeys(problem.devices, BUDGET), time.monotonic() - began)
    return found
