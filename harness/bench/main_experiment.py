"""Experiment `main`: every method's fronts on 13 search devices and 6 unseen ones, by the true tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from harness.bench.baselines import first_metric, help_proposals, models_of, table_problem
from harness.bench.modnas_method import (
    CONFIG,
    Models,
    best_evaluated,
    fit_devices,
    fit_models,
    short_listed,
)
from harness.bench.problem import FRONT_SIZE, Problem
from harness.bench.rows import Fronts, Row
from harness.bench.table_search import random_points, read_off
from modnas.accuracy.evaluated import Choice
from modnas.baselines import Models as BaselineModels
from modnas.baselines import get_method
from modnas.spaces import Architecture

# Preferences at which the MetaHypernetwork is read before the refinement.
STARTS = FRONT_SIZE
# By their names in `modnas.baselines`.
BASELINES = ("rs", "rhpn", "help", "nsga2", "re", "ls")
# Those that search on the models of MODNAS.
ON_MODELS = ("ofa", "hat", "proxyless")


def modnas(problem: Problem, seed: int) -> dict[str, Fronts]:
    """MODNAS and its ablations, by name.

    `modnas`: what a user's search gives, fronts read off or refined on predictions, whichever is enough, and
    chosen from what was evaluated too; `modnas-descents`: refined, and not chosen from that;
    `modnas-readoff`: as read from the MetaHypernetwork;
    `refinement-only`: descents from random architectures, without a search; `best-evaluated`: neither, only
    the best of what the surrogate was fitted on; `modnas-sotl-ep12`: the part of `modnas` that its
    accuracies after 12 epochs leave, which stand in for the sum of training losses. The baselines that
    search on models have the same ones.
    """
    return _variants(problem, seed, "active")


def randomly_informed(problem: Problem, seed: int) -> dict[str, Fronts]:
    """The same with evaluated cells drawn at random: each name with `-random` behind it."""
    return {f"{name}-random": fronts for name, fronts in _variants(problem, seed, "random").items()}


def _variants(problem: Problem, seed: int, choice: Choice) -> dict[str, Fronts]:
    began = time.monotonic()
    models = fit_models(problem, seed, choice=choice)
    fitted = time.monotonic() - began
    search = models.search(problem.search_devices, replace(CONFIG, seed=seed))
    searched = time.monotonic() - began

    def timed(read: Callable[[str], list[Architecture]], before: float) -> Fronts:
        start = time.monotonic()
        fronts = {name: read(name) for name in problem.devices}
        return Fronts(fronts, models.evaluated, before + time.monotonic() - start)

    def by_search(name: str) -> list[Architecture]:
        return models.refined(name, search.proposals(models.devices[name], STARTS), FRONT_SIZE)

    generator = torch.Generator().manual_seed(seed)

    def at_random(name: str) -> list[Architecture]:
        return models.refined(name, random_points(problem.space, STARTS, generator), FRONT_SIZE)

    start = time.monotonic()
    kept = models.kept(search, models.evaluated)
    found = {
        "modnas": Fronts(kept, models.evaluated, searched + time.monotonic() - start),
        "modnas-readoff": timed(lambda n: read_off(search, models.devices[n]), searched),
        "refinement-only": timed(at_random, fitted),
        "modnas-descents": timed(by_search, searched),
        "best-evaluated": timed(lambda n: best_evaluated(models, n), fitted),
        **_on_models(problem, seed, models, fitted),
    }
    whole = found["modnas"]
    listed = {n: short_listed(problem, models.devices[n], front) for n, front in whole.by_device.items()}
    known = {name: front for name, front in listed.items() if front is not None}
    if known:
        found["modnas-sotl-ep12"] = Fronts(known, whole.evaluated, whole.seconds)
    return found


def _on_models(problem: Problem, seed: int, models: Models, fitted: float) -> dict[str, Fronts]:
    """Baselines that search on models, for 24 cells a device; `fitted`: seconds that the models took."""
    found = {}
    for name in ON_MODELS:
        began = time.monotonic()
        fronts = {d: _asking(name, problem, d, models_of(models, d), seed) for d in problem.devices}
        found[name] = Fronts(fronts, models.evaluated, fitted + time.monotonic() - began)
    return found


def lemonade(problem: Problem, seed: int) -> dict[str, Fronts]:
    """LEMONADE with the MetaPredictor's latency among what is cheap; 24 true evaluations on every device."""
    began = time.monotonic()
    devices = fit_devices(problem, seed, problem.search_devices)
    fronts = {
        name: _asking("lemonade", problem, name, BaselineModels(first_metric(device)), seed)
        for name, device in devices.items()
    }
    return {"lemonade": Fronts(fronts, (), time.monotonic() - began)}


def _asking(
    name: str, problem: Problem, device: str, models: BaselineModels, seed: int
) -> list[Architecture]:
    """What a baseline evaluates on a device that these models describe."""
    asked = table_problem(problem.quality(device), models=lambda _: models)
    return get_method(name)(asked, FRONT_SIZE, seed)


def baselines(problem: Problem, seed: int) -> dict[str, Fronts]:
    """The baselines, each with 24 true evaluations on every device, search device or not."""
    proposals = help_proposals(problem.tables, lambda seed, seconds: None)
    found = {}
    for name in BASELINES:
        began = time.monotonic()
        fronts = {
            device: get_method(name)(table_problem(problem.quality(device), proposals), FRONT_SIZE, seed)
            for device in problem.devices
        }
        found[name] = Fronts(fronts, (), time.monotonic() - began)
    return found


# Each gives the fronts of one or more named methods for one seed.
METHODS: list[Callable[[Problem, int], dict[str, Fronts]]] = [
    modnas,
    randomly_informed,
    baselines,
    lemonade,
]


def run(problem: Problem, seed: int) -> Iterator[Row]:
    """All methods at one seed."""
    for method in METHODS:
        for name, fronts in method(problem, seed).items():
            yield from fronts.rows(problem, "main", name, seed)
