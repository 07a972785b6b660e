"""Experiments `schemes`, `estimators`, `constraints` and `device-fraction`: one setting of MODNAS varied.

Fronts are read from the MetaHypernetwork without refinement, which would hide what the search does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from harness.benchmark.modnas_method import CONFIG, Models, fit_models, read_off, run_search, search_device
from harness.benchmark.problem import Problem
from harness.benchmark.rows import Row
from modnas.architect import Estimator
from modnas.gradients import Scheme
from modnas.search import SearchConfig
from modnas.spaces import Architecture

# Normalised bounds on latency (see `modnas.objectives.apply_constraints`).
BOUNDS = (None, 0.2, 0.4, 0.6, 0.8, 1.0)
DEVICE_COUNTS = (2, 4, 8, 13)


def schemes(problem: Problem, seed: int) -> Iterator[Row]:
    """How the devices' gradients become one step. `sequential` takes one optimiser step a device; `sample`
    sees one device a step."""
    configs = {scheme: replace(CONFIG, scheme=scheme) for scheme in get_args(Scheme)}
    yield from _vary(problem, "schemes", seed, configs)


def estimators(problem: Problem, seed: int) -> Iterator[Row]:
    """Gradient of the sampled architecture."""
    configs = {name: replace(CONFIG, estimator=name) for name in get_args(Estimator)}
    yield from _vary(problem, "estimators", seed, configs)


def constraints(problem: Problem, seed: int) -> Iterator[Row]:
    """A bound on latency below which only accuracy counts; also the best and the mean error of a front."""
    configs = {
        "none" if bound is None else f"latency={bound}": replace(CONFIG, constraints=(bound,))
        for bound in BOUNDS
    }
    yield from _vary(problem, "constraints", seed, configs)


def device_fraction(problem: Problem, seed: int) -> Iterator[Row]:
    """How many devices the predictor and the search know; the first of a random order."""
    order = np.random.default_rng(seed).permutation(problem.search_devices).tolist()
    for count in DEVICE_COUNTS:
        models = fit_models(problem, seed, order[:count])
        name = f"{count} devices"
        config = replace(CONFIG, seed=seed)
        yield from _one(problem, models, "device-fraction", name, known=order[:count], config=config)


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
    devices = {d: search_device(problem, models, d) for d in [*known, *problem.unseen_devices]}
    search = run_search(problem, models, [devices[d] for d in known], config)
    fronts = {d: read_off(search, device) for d, device in devices.items()}
    seconds = time.monotonic() - began
    for device, front in fronts.items():
        evaluations = len({*models.evaluated, *front})
        figures = {**problem.judge(device, front), **_errors(problem, front)}
        for metric, value in figures.items():
            group = problem.group(device)
            yield Row(experiment, name, device, group, config.seed, metric, value, evaluations, seconds)


def _errors(problem: Problem, front: Sequence[Architecture]) -> dict[str, float]:
    """Smallest and mean true error of a front, percent."""
    errors = problem.error(front)
    return {"best_error": float(errors.min()), "mean_error": float(errors.mean())}
