"""The methods that are compared on the once-for-all tables: fronts of all 12 devices at one seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from harness.bench.ofa_judge import Floats
from harness.bench.ofa_problem import OfaProblem
from harness.bench.table_search import TableModels, random_points, read_off
from harness.runs.predictors import range_sample
from modnas.baselines import Problem, get_method, once_for_all
from modnas.prediction import fit_predictor
from modnas.prediction.help import meta_learn
from modnas.search import SearchDevice
from modnas.search.refinement import select
from modnas.spaces import Architecture


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
    tables = [problem.known(device, problem.effort.known) for device in problem.search_devices]
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
    began, count = time.monotonic(), problem.effort.front_size
    models = fit_models(problem, seed)
    fitted = time.monotonic() - began
    search = models.search(problem.search_devices, replace(problem.effort.search, seed=seed))
    searched = time.monotonic() - began

    def timed(read: Callable[[str], list[Architecture]], before: float) -> OfaFronts:
        start = time.monotonic()
        fronts = {name: read(name) for name in problem.devices}
        return OfaFronts(fronts, _measured(problem, fronts), before + time.monotonic() - start)

    generator = torch.Generator().manual_seed(seed)

    def by_search(name: str) -> list[Architecture]:
        points = search.proposals(models.devices[name], count)
        return models.refined(name, points, count)

    def at_random(name: str) -> list[Architecture]:
        return models.refined(name, random_points(problem.space, count, generator), count)

    return {
        "modnas": timed(by_search, searched),
        "modnas-readoff": timed(lambda n: read_off(search, models.devices[n]), searched),
        "refinement-only": timed(at_random, fitted),
    }


def _measured(problem: OfaProblem, fronts: Mapping[str, Sequence[Architecture]]) -> dict[str, int]:
    """Networks measured on each device: the references, what a predictor is fitted on, and the front."""
    known = {name: problem.effort.known if name in problem.search_devices else 0 for name in fronts}
    return {name: 10 + known[name] + len(front) for name, front in fronts.items()}


def ofa_help(problem: OfaProblem, seed: int) -> dict[str, OfaFronts]:
    """Once-for-all's evolutionary search under 24 bounds on the latency that HELP's predictor predicts.

    The predictor is meta-learned on 900 networks of each search device. The bounds are evenly spaced between
    the fastest and the slowest of a random sample, as predicted.
    """
    began = time.monotonic()
    tables = [problem.known(device, problem.effort.known) for device in problem.search_devices]
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
            np.linspace(low, high, problem.effort.front_size).tolist(),
            generations=problem.effort.generations,
            seed=seed,
        )
        fronts[name] = list(dict.fromkeys(found))
    return {"ofa-help": OfaFronts(fronts, _measured(problem, fronts), time.monotonic() - began)}


def measured_only(problem: OfaProblem, seed: int) -> dict[str, OfaFronts]:
    """NSGA-II and random search, which measure as many networks on every device as MODNAS does on a device
    of the search; the best 24 of them by their measured objectives are the front."""
    found, budget = {}, problem.effort.budget
    for method in ("nsga2", "rs"):
        began, fronts = time.monotonic(), {}
        for name in problem.devices:

            def measure(architectures: Sequence[Architecture], name: str = name) -> Floats:
                return problem.scaled(name, architectures)

            asked = Problem(problem.space, name, measure, problem.references(name))
            evaluated = get_method(method)(asked, budget, seed)
            chosen = select(asked.evaluate(evaluated), problem.effort.front_size)
            fronts[name] = [evaluated[i] for i in chosen]
        found[method] = OfaFronts(fronts, dict.fromkeys(problem.devices, budget), time.monotonic() - began)
    return found
