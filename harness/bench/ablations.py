"""Experiments `schemes`, `estimators`, `constraints` and `device-fraction`: one setting of MODNAS varied.

The MetaHypernetwork and the way it learns are the paper's. Fronts are read from it without refinement, which
would hide what the search does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from harness.bench.modnas_method import PAPER, Models, fit_models
from harness.bench.problem import FRONT_SIZE, Problem
from harness.bench.rows import EPOCH_METRIC, Fronts, Row
from harness.bench.table_search import read_off
from modnas.search import Search, SearchConfig, SearchDevice, preferences
from modnas.search.estimators import Estimator
from modnas.search.front import fastest_forms, read_front
from modnas.search.gradients import Scheme
from modnas.spaces import Architecture

# Normalised bounds on latency (see `modnas.search.objectives.apply_constraints`).
BOUNDS = (None, 0.2, 0.4, 0.6, 0.8, 1.0)
DEVICE_COUNTS = (2, 4, 8, 13)


def schemes(problem: Problem, seed: int) -> Iterator[Row]:
    """How the devices' gradients become one step. `sequential` takes one optimiser step a device; `sample`
    sees one device a step. Rows of every epoch too."""
    configs = {scheme: replace(PAPER, scheme=scheme) for scheme in get_args(Scheme)}
    yield from _vary(problem, "schemes", seed, configs)


def estimators(problem: Problem, seed: int) -> Iterator[Row]:
    """Gradient of the sampled architecture. Rows of every epoch too."""
    configs = {name: replace(PAPER, estimator=name) for name in get_args(Estimator)}
    yield from _vary(problem, "estimators", seed, configs)


def constraints(problem: Problem, seed: int) -> Iterator[Row]:
    """A bound on latency below which only accuracy counts."""
    configs = {bound_name(bound): replace(PAPER, constraints=(bound,)) for bound in BOUNDS}
    yield from _vary(problem, "constraints", seed, configs)


def bound_name(bound: float | None) -> str:
    """The method's name in the rows."""
    return "no bound" if bound is None else f"latency={bound}"


def device_fraction(problem: Problem, seed: int) -> Iterator[Row]:
    """How many devices the predictor and the search know; the first of a random order."""
    order = np.random.default_rng(seed).permutation(problem.search_devices).tolist()
    for count in DEVICE_COUNTS:
        known = order[:count]
        models = fit_models(problem, seed, known)
        given = replace(PAPER, seed=seed)
        yield from _one(problem, models, "device-fraction", count_name(count), known=known, config=given)


def count_name(count: int) -> str:
    """The method's name in the rows."""
    return f"{count} devices"


def _vary(problem: Problem, experiment: str, seed: int, configs: Mapping[str, SearchConfig]) -> Iterator[Row]:
    models = fit_models(problem, seed)
    for name, config in configs.items():
        given = replace(config, seed=seed)
        yield from _one(problem, models, experiment, name, known=problem.search_devices, config=given)


def _one(
    problem: Problem,
    models: Models,
    experiment: str,
    name: str,
    *,
    known: Sequence[str],
    config: SearchConfig,
) -> Iterator[Row]:
    """One search on the devices `known`, judged on those and on the unseen ones."""
    began = time.monotonic()
    devices = {d: models.devices[d] for d in [*known, *problem.unseen_devices]}
    passed: list[dict[str, list[Architecture]]] = []
    search = models.search(
        known,
        config,
        lambda search: passed.append({d: _now(search, device) for d, device in devices.items()}),
    )
    found = {d: read_off(search, device) for d, device in devices.items()}
    fronts = Fronts(found, models.evaluated, time.monotonic() - began)
    yield from fronts.rows(problem, experiment, name, config.seed)
    for epoch, seen in enumerate(passed, start=1):
        for device, front in seen.items():
            metric, value = f"{EPOCH_METRIC}{epoch}", problem.hypervolume_ratio(device, front)
            group = problem.group(device)
            yield Row(experiment, name, device, group, config.seed, metric, value, len(models.evaluated), 0.0)


def _now(search: Search, device: SearchDevice) -> list[Architecture]:
    """What the present state says, not the best that was kept."""
    rows = preferences.spread(FRONT_SIZE, search.objectives)
    points = fastest_forms(
        search.space, device, read_front(search.hypernetwork, search.space, device.features, rows)
    )
    return list(dict.fromkeys(point.architecture for point in points))
