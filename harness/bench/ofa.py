"""`benchmark ofa`: which experiments there are, and how one is run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from harness.bench import ofa_methods
from harness.bench.ofa_judge import Floats
from harness.bench.ofa_plots import write_page
from harness.bench.ofa_problem import OfaProblem
from harness.bench.rows import Row, rows_of_seeds
from harness.bench.table_search import read_off
from harness.core.errors import UsageError
from harness.core.home import write_atomically
from harness.datasets.ofa import load
from modnas.prediction import fit_predictor, help, metrics, mlp

# Normalised bounds on latency (see `modnas.search.objectives.apply_constraints`).
BOUNDS = (None, 0.2, 0.4, 0.6, 0.8, 1.0)


def main(problem: OfaProblem, seed: int) -> Iterator[Row]:
    """Fronts of all methods, judged on all devices: `hypervolume`, the share of the box between the best and
    the worst of the space, and `hypervolume_ratio`, relative to the union of all methods' fronts."""
    methods = (ofa_methods.modnas, ofa_methods.ofa_help, ofa_methods.measured_only)
    found = {name: fronts for method in methods for name, fronts in method(problem, seed).items()}
    for device in problem.devices:
        union = [a for fronts in found.values() for a in fronts.by_device[device]]
        best = problem.hypervolume(device, union)
        for name, fronts in found.items():
            front = fronts.by_device[device]
            volume = problem.hypervolume(device, front)
            for metric, value in (("hypervolume", volume), ("hypervolume_ratio", volume / best)):
                yield Row(
                    "main",
                    name,
                    device,
                    problem.group(device),
                    seed,
                    metric,
                    value,
                    fronts.measured[device],
                    fronts.seconds,
                    networks=tuple(a.string for a in front) if metric == "hypervolume_ratio" else (),
                )


def predictor(problem: OfaProblem, seed: int) -> Iterator[Row]:
    """Latency of the whole table of the unseen device from its ten references: `spearman`, `hit_rate` (within
    10 %), `mean_relative_error`.

    Methods: `gaussian-process-N` is the MetaPredictor, fitted on N networks of each search device; `mlp` the
    paper's network, `help` HELP's, both on 900. `judge` rows, of every device, say how far the model is off
    that fronts are judged by.
    """

    def gaussian_process(count: int) -> Callable[[str], Floats]:
        fitted = fit_predictor(
            problem.space, [problem.known(d, count) for d in problem.search_devices], seed=seed
        )
        return lambda device: fitted.predict(architectures, problem.references(device)).value

    def network(
        fit: Callable[..., mlp.TwoBranchPredictor | help.HelpPredictor],
    ) -> Callable[[str], Floats]:
        tables = [problem.known(device, problem.effort.known) for device in problem.search_devices]
        fitted = fit(problem.space, tables, seed=seed)
        return lambda device: fitted.predict(architectures, problem.references(device))

    architectures = problem.tables.architectures
    methods: dict[str, Callable[[], Callable[[str], Floats]]] = {
        "gaussian-process-100": lambda: gaussian_process(100),
        "gaussian-process-900": lambda: gaussian_process(900),
        "mlp": lambda: network(mlp.fit_two_branch),
        "help": lambda: network(help.meta_learn),
    }
    for name, make in methods.items():
        began = time.monotonic()
        predict = make()
        for device in problem.unseen_devices:
            guess, true = predict(device), problem.tables.latency_ms[device]
            figures = {
                "spearman": metrics.spearman(guess, true),
                "hit_rate": metrics.hit_rate(guess, true),
                "mean_relative_error": metrics.mean_relative_error(guess, true),
            }
            row = _row(problem, "predictor", name, device, seed)
            yield from _rows(replace(row, seconds=time.monotonic() - began), figures)
    if seed == 0:
        for device in problem.devices:
            errors = problem.judge_model.relative_errors(device)
            figures = {
                "mean_relative_error": float(errors.mean()),
                "median_relative_error": float(np.median(errors)),
            }
            yield from _rows(_row(problem, "predictor", "judge", device, None), figures)


def constraints(problem: OfaProblem, seed: int) -> Iterator[Row]:
    """A bound on latency below which only accuracy counts; fronts as read from the MetaHypernetwork."""
    models = ofa_methods.fit_models(problem, seed)
    for bound in BOUNDS:
        began = time.monotonic()
        config = replace(problem.effort.search, seed=seed, constraints=(bound,))
        search = models.search(problem.search_devices, config)
        name = "none" if bound is None else f"latency={bound}"
        for device in problem.devices:
            front = read_off(search, models.devices[device])
            errors = problem.error(front)
            figures = {
                "hypervolume": problem.hypervolume(device, front),
                "best_error": float(errors.min()),
                "mean_error": float(errors.mean()),
            }
            row = _row(problem, "constraints", name, device, seed)
            yield from _rows(replace(row, seconds=time.monotonic() - began), figures)


def published(problem: OfaProblem, seed: int) -> Iterator[Row]:
    """Networks that HELP publishes for devices of the tables, as points: error by the accuracy predictor and
    by ImageNet, latency as judged and as published."""
    if seed:
        return
    for net in problem.tables.reference["published_help_nets"]:
        device = net["device"].removeprefix("gpu_")
        if device not in problem.devices:
            continue
        architecture = problem.space.from_lists(net["ks"], net["e"], net["d"], net["r"])
        error, latency_ms = problem.objectives(device, [architecture])[0]
        figures = {
            "error": float(error),
            "imagenet_error": 100 - net["imagenet_top1"],
            "latency_ms": float(latency_ms),
            "published_latency_ms": net["latency_ms"],
        }
        yield from _rows(_row(problem, "published", f"help:{architecture.string}", device, None), figures)


def _rows(row: Row, figures: dict[str, float]) -> Iterator[Row]:
    for metric, value in figures.items():
        yield replace(row, metric=metric, value=value)


def _row(problem: OfaProblem, experiment: str, method: str, device: str, seed: int | None) -> Row:
    """A row whose figure is still to come."""
    return Row(experiment, method, device, problem.group(device), seed, "", 0.0, None, 0.0)


# Each yields the rows of one seed.
EXPERIMENTS: dict[str, Callable[[OfaProblem, int], Iterator[Row]]] = {
    "main": main,
    "predictor": predictor,
    "constraints": constraints,
    "published": published,
}


def run(data: Path, experiment: str, seeds: int, out: Path | None = None) -> list[Row]:
    """Run an experiment with seeds 0 to `seeds` - 1 and return its rows.

    `out`: a folder for `<experiment>.html`, with the plots, and `<experiment>.json`, with the rows.

    Raises UsageError for an unknown experiment or when `data` holds no tables.
    """
    if experiment not in EXPERIMENTS:
        raise UsageError(f"no experiment {experiment!r}; known: {', '.join(EXPERIMENTS)}")
    problem = OfaProblem(load(data))
    rows = rows_of_seeds([EXPERIMENTS[experiment]], problem, seeds)
    if out is not None:
        write_page(out, experiment, rows, list(published(problem, 0)), problem)
        document = {"experiment": experiment, "rows": [asdict(row) for row in rows]}
        write_atomically(out / f"{experiment}.json", json.dumps(document, allow_nan=False))
    return rows
