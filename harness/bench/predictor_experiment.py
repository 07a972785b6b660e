"""Experiment `predictor`: latency of the 6 unseen devices from ten or twenty measurements."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.bench.problem import Floats, Problem
from harness.bench.rows import Row
from modnas.prediction import DeviceTable, fit_predictor, gcn, metrics
from modnas.prediction.choosing import candidates, measure_chosen
from modnas.spaces import Architecture

# Cells that are measured besides the references where the predictor chooses.
FURTHER = 10

# HELP's published Spearman correlations with 10 measurements (Lee et al., 2021; see docs/benchmarks.md).
HELP_SPEARMAN = {
    "titan_rtx_256": 0.987,
    "gold_6226": 0.989,
    "fpga": 0.985,
    "pixel2": 0.802,
    "raspi4": 0.890,
    "eyeriss": 0.940,
}


def help_range(problem: Problem, device: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """HELP's evaluation cells: indices 900 to 1899 without the fastest and the slowest tenth."""
    latency = problem.tables.latency_ms[device]
    ranked = 900 + np.argsort(latency[900:1900], kind="stable")
    return np.asarray(ranked[100:900], dtype=np.int64)


def run(problem: Problem, seed: int) -> Iterator[Row]:
    """Rows by device: `spearman_help` on HELP's range; `spearman`, `hit_rate` (within 10 %) and, for the
    Gaussian process, `coverage` (share inside the 90 % interval) on all cells.

    Methods: `gaussian-process` is the MetaPredictor, `gaussian-process-chosen` the same with ten more cells
    that it chooses of 300 random ones, which are not judged; `gcn` the network of the paper, `gcn-adapted`
    the same trained on with the ten references; `help-published` what HELP prints.
    """
    tables = [problem.known(device) for device in problem.search_devices]
    yield from gaussian_process(problem, tables, seed)
    yield from _graph_network(problem, tables, seed)
    if seed == 0:
        for device, value in HELP_SPEARMAN.items():
            yield from _rows("help-published", device, None, {"spearman_help": value}, 0.0)


def gaussian_process(problem: Problem, tables: Sequence[DeviceTable], seed: int) -> Iterator[Row]:
    """The rows of the MetaPredictor fitted on `tables`."""
    began = time.monotonic()
    predictor = fit_predictor(problem.space, tables, seed=seed)
    for device in problem.unseen_devices:
        true = problem.tables.latency_ms[device]
        references = problem.references(device)
        among, measure = candidates(problem.space, seed), partial(_measure, problem, device)
        chosen = measure_chosen(predictor, references, among, measure, FURTHER)
        for name, further in (("gaussian-process", None), ("gaussian-process-chosen", chosen)):
            guess = predictor.predict(problem.cells, references, further)
            kept = np.ones(len(true), dtype=bool)
            kept[problem.indices(further.architectures) if further else []] = False
            inside = ((guess.lower <= true) & (true <= guess.upper))[kept]
            figures = {**_figures(problem, device, guess.value, kept), "coverage": float(inside.mean())}
            yield from _rows(name, device, seed, figures, time.monotonic() - began)


def _graph_network(problem: Problem, tables: Sequence[DeviceTable], seed: int) -> Iterator[Row]:
    began = time.monotonic()
    network = gcn.fit_graph_predictor(problem.space, tables, seed=seed)
    for device in problem.unseen_devices:
        references = problem.references(device)
        adapted = gcn.adapt(network, problem.space, references, seed=seed)
        for name, one in (("gcn", network), ("gcn-adapted", adapted)):
            figures = _figures(problem, device, one.predict(problem.space, problem.cells, references))
            yield from _rows(name, device, seed, figures, time.monotonic() - began)


def _measure(problem: Problem, device: str, cells: Sequence[Architecture]) -> dict[Architecture, float]:
    values = problem.tables.latency_ms[device][problem.indices(cells)]
    return dict(zip(cells, values.tolist(), strict=True))


def _figures(
    problem: Problem, device: str, guess: Floats, kept: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Figures of the cells that are `kept`, of all unless given."""
    true = problem.tables.latency_ms[device]
    kept = np.ones(len(true), dtype=bool) if kept is None else kept
    chosen = help_range(problem, device)
    chosen = chosen[kept[chosen]]
    return {
        "spearman_help": metrics.spearman(guess[chosen], true[chosen]),
        "spearman": metrics.spearman(guess[kept], true[kept]),
        "hit_rate": metrics.hit_rate(guess[kept], true[kept]),
    }


def _rows(
    method: str, device: str, seed: int | None, figures: dict[str, float], seconds: float
) -> Iterator[Row]:
    for metric, value in figures.items():
        yield Row("predictor", method, device, "unseen", seed, metric, value, None, seconds)
