"""Experiment `costs`: what each method costs as it runs, in searches, trained networks and seconds.

After the paper's table 1. A method serves all devices, each under 24 bounds or with a front of 24. What it
does once for all devices is apart from what every device adds. The tables stand for trainings and
measurements, which take no time here: seconds are those of predictors, surrogates and searches, and trained
networks are counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.bench.baselines import first_metric, help_proposals, models_of, table_problem
from harness.bench.main_experiment import BASELINES, ON_MODELS
from harness.bench.modnas_method import CONFIG, Models, fit_devices, fit_models
from harness.bench.problem import FRONT_SIZE, Problem
from harness.bench.rows import Row
from modnas.baselines import Models as BaselineModels
from modnas.baselines import Problem as BaselineProblem
from modnas.baselines import get_method
from modnas.spaces import Architecture


@dataclass(frozen=True)
class Share:
    """What a method did: `searches` it ran, `trained` networks whose accuracy it was told, its `seconds`."""

    searches: int
    trained: Sequence[Architecture]
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a method did once for all devices, and for each device, its 24 networks included."""

    once: Share
    by_device: dict[str, Share]

    def figures(self) -> dict[str, float]:
        """In all, for each device and bound, and for a device that comes later; a network is trained once."""
        shares, count = [self.once, *self.by_device.values()], len(self.by_device)
        seconds = sum(share.seconds for share in shares)
        known = set(self.once.trained)
        further = sum(len(set(share.trained) - known) for share in self.by_device.values())
        return {
            "searches": sum(share.searches for share in shares),
            "trained_networks": len({one for share in shares for one in share.trained}),
            "seconds_per_device_and_bound": seconds / (count * FRONT_SIZE),
            "searches_of_a_further_device": sum(s.searches for s in self.by_device.values()) / count,
            "trained_networks_of_a_further_device": further / count,
            "seconds_of_a_further_device": sum(s.seconds for s in self.by_device.values()) / count,
        }


def run(problem: Problem, seed: int) -> Iterator[Row]:
    """All methods of the main experiment at one seed."""
    began = time.monotonic()
    models = fit_models(problem, seed)
    fitted = Share(0, models.evaluated, time.monotonic() - began)
    methods: dict[str, Callable[[], Cost]] = {
        "modnas": partial(_modnas, problem, seed, models, fitted),
        **{name: partial(_on_models, name, problem, seed, models, fitted) for name in ON_MODELS},
        "lemonade": partial(_lemonade, problem, seed),
        **{name: partial(_evaluating, name, problem, seed) for name in BASELINES},
    }
    for name, spend in methods.items():
        found = spend()
        seconds = sum(share.seconds for share in (found.once, *found.by_device.values()))
        for metric, value in found.figures().items():
            yield Row("costs", name, "all", "all", seed, metric, value, None, seconds)


# What `Cost.figures` tells.
METRICS = tuple(Cost(Share(0, (), 0.0), {"": Share(0, (), 0.0)}).figures())


def _modnas(problem: Problem, seed: int, models: Models, fitted: Share) -> Cost:
    """One search; then a front is read for every device."""
    began = time.monotonic()
    search = models.search(problem.search_devices, replace(CONFIG, seed=seed))
    once = Share(1, fitted.trained, fitted.seconds + time.monotonic() - began)
    began = time.monotonic()
    fronts = models.kept(search, models.evaluated)
    seconds = (time.monotonic() - began) / len(fronts)
    return Cost(once, {device: Share(0, front, seconds) for device, front in fronts.items()})


def _on_models(name: str, problem: Problem, seed: int, models: Models, fitted: Share) -> Cost:
    def asked(device: str) -> BaselineProblem:
        own = models_of(models, device)
        return table_problem(problem.quality(device), models=lambda _: own)

    return Cost(fitted, _by_device(name, problem, seed, asked))


def _lemonade(problem: Problem, seed: int) -> Cost:
    began = time.monotonic()
    devices = fit_devices(problem, seed, problem.search_devices)
    once = Share(0, (), time.monotonic() - began)

    def asked(device: str) -> BaselineProblem:
        models = BaselineModels(first_metric(devices[device]))
        return table_problem(problem.quality(device), models=lambda _: models)

    return Cost(once, _by_device("lemonade", problem, seed, asked))


def _evaluating(name: str, problem: Problem, seed: int) -> Cost:
    """A baseline that evaluates truly only; HELP's meta-learning is done once."""
    proposals, began = help_proposals(problem.tables, lambda seed, seconds: None), time.monotonic()
    if name == "help":
        proposals.predictor(seed)
    once = Share(0, (), time.monotonic() - began)
    return Cost(once, _by_device(name, problem, seed, lambda d: table_problem(problem.quality(d), proposals)))


def _by_device(
    name: str, problem: Problem, seed: int, asked: Callable[[str], BaselineProblem]
) -> dict[str, Share]:
    found = {}
    for device in problem.devices:
        one, began = asked(device), time.monotonic()
        front = get_method(name)(one, FRONT_SIZE, seed)
        found[device] = Share(one.searches, front, time.monotonic() - began)
    return found
