"""The methods that are compared on the once-for-all tables: fronts of all 12 devices at one seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from harness.bench.ofa_judge import Floats
from harness.bench.ofa_problem import FRONT_SIZE, OfaProblem
from harness.bench.table_search import TableModels, random_points, read_off
from harness.runs.predictors import range_sample
from modnas.baselines import Problem, get_method, once_for_all
from modnas.prediction import fit_predictor
from modnas.prediction.help import meta_learn
from modnas.search import SearchConfig, SearchDevice
from modnas.search.refinement import select
from modnas.spaces import Architecture
from modnas.spaces.mobilenetv3 import MobileNetV3

# Networks that are measured on each device of the search, besides the references; as in HELP's protocol.
KNOWN = 900
# Networks a method measures on a device in all: MODNAS's, its references and its front.
BUDGET = KNOWN + 10 + FRONT_SIZE
GENERATIONS = 100

CONFIG = SearchConfig(
    hypernetwork="conditioned",
    learning="imitation",
    epochs=10,
    steps_per_epoch=40,
    learning_rate=0.1,
    smoothing=5,
    preferences_per_step=4,
    tables=MobileNetV3.tables,
    front_size=FRONT_SIZE,
)


@dataclass(frozen=True)
class OfaFronts:
    """What a method found: at most 24 architectures a device.

    `measured`: networks that it has measured on each device in all; `seconds`: wall-clock time for all
    devices together.
    """

    by_device: dict[str, list[Architecture]]
    measured: dict[str, int]
    seconds: float


def fit_models(problem: OfaProblem, seed: int) -> TableModels:
    """Fit the predictor on the search devices; the unseen device is known by its references."""
    tables = [problem.known(device, KNOWN) for device in problem.search_devices]
    predictors = {"latency": fit_predictor(problem.space, tables, seed=seed)}
    sample = range_sample(problem.space, seed)
    onehot, errors = problem.space.encode(sample), problem.error(sample)
    devices = {
        name: SearchDevice.known(name, {"latency": problem.references(name)}, predictors, onehot)
        for name in problem.devices
    }
    bounds = float(errors.min()), float(errors.max())
    return TableModels(problem.space, devices, problem.accuracy, problem.error, bounds)


def modnas(problem: OfaProblem, seed: int) -> dict[str, OfaFronts]:
    """MODNAS and its ablations, by name.

    `modnas`: fronts refined on predictions; `modnas-readoff`: as read from the MetaHypernetwork;
    `refinement-only`: the same refinement from random networks, without a search.
    """
    began = time.monotonic()
    models = fit_models(problem, seed)
    fitted = time.monotonic() - began
    search = models.search(problem.search_devices, replace(CONFIG, seed=seed))
    searched = time.monotonic() - began

    def timed(read: Callable[[str], list[Architecture]], before: float) -> OfaFronts:
        start = time.monotonic()
        fronts = {name: read(name) for name in problem.devices}
        asked = {name: 10 + (KNOWN if name in problem.search_devices else 0) for name in problem.devices}
        measured = {name: asked[name] + len(front) for name, front in fronts.items()}
        return OfaFronts(fronts, measured, before + time.monotonic() - start)

    generator = torch.Generator().manual_seed(seed)

    def by_search(name: str) -> list[Architecture]:
        points = search.proposals(models.devices[name], FRONT_SIZE)
        return models.refined(name, points, FRONT_SIZE)

    def at_random(name: str) -> list[Architecture]:
        return models.refined(name, random_points(problem.space, FRONT_SIZE, generator), FRONT_SIZE)

    return {
        "modnas": timed(by_search, searched),
        "modnas-readoff": timed(lambda n: read_off(search, models.devices[n]), searched),
        "refinement-only": timed(at_random, fitted),
    }


def ofa_help(problem: OfaProblem, seed: int) -> dict[str, OfaFronts]:
    """Once-for-all's evolutionary search under 24 bounds on the latency that HELP's predictor predicts.

    The predictor is meta-learned on 900 networks of each search device. The bounds are evenly spaced between
    the fastest and the slowest of a random sample, as predicted.
    """
    began = time.monotonic()
    tables = [problem.known(device, KNOWN) for device in problem.search_devices]
    predictor = meta_learn(problem.space, tables, seed=seed)
    sample = problem.space.encode(range_sample(problem.space, seed))
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
