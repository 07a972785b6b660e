"""How well latency is predicted on HAT's tables: a fifth of each table's rows is held out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from harness.bench.hat_search import HatProblem, surrogate_error
from harness.bench.rows import Row
from harness.datasets.hat import SEARCH_DEVICES, Floats
from modnas.prediction import metrics
from modnas.prediction.averages import fit_averages, fit_with_drift
from modnas.prediction.device_vectors import device_vector
from modnas.prediction.paper_network import fit_paper_network

_HELD = 0.2


def run(problem: HatProblem, seed: int) -> Iterator[Row]:
    """Rows by device of `spearman` and `mean_relative_error` on held-out rows.

    Methods: `averages` is the regression on what an architecture alone can tell. The devices' speed wandered
    while the tables were made (factors of 1.2 to 1.5 over stretches of rows), which no architecture can tell:
    `averages-drift` multiplies its prediction by the speed that the rows measured around the held-out one
    show.
    `paper-network` is the network of the paper, one for all devices, on the averages: the rows have no more.
    Method `bleu-surrogate` has its leave-one-out errors.
    """
    held = {
        device: np.random.default_rng(seed).permutation(len(table.latency_ms))
        for device, table in problem.tables.tables.items()
    }
    rows = {device: _parts(order) for device, order in held.items()}
    for device, table in problem.tables.tables.items():
        known, kept = rows[device]
        began = time.monotonic()
        features = torch.from_numpy(table.features[kept])
        plain = fit_averages(table.features[known], table.latency_ms[known])(features).numpy()
        usual, factors = fit_with_drift(table.features, table.latency_ms, known)
        drifted = usual(features).numpy() * factors[kept]
        seconds = time.monotonic() - began
        for method, guess in (("averages", plain), ("averages-drift", drifted)):
            yield from _rows(method, device, seed, (guess, table.latency_ms[kept]), seconds)
    yield from _paper_network(problem, seed, rows)
    errors = problem.bleu.leave_one_out()
    values = {
        "leave_one_out_mae": float(np.abs(errors).mean()),
        "leave_one_out_rmse": float(np.sqrt(np.square(errors).mean())),
        "leave_one_out_mae_wmt14ende": surrogate_error(problem),
    }
    for metric, value in values.items():
        yield Row("predictor", "bleu-surrogate", "all", "search", None, metric, value, None, 0.0)


def _parts(order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    count = round(_HELD * len(order))
    return order[count:], order[:count]


def _paper_network(
    problem: HatProblem, seed: int, rows: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> Iterator[Row]:
    began = time.monotonic()
    tables = problem.tables.tables
    references = problem.space.encode(problem.space.references)
    vectors, encodings, devices, values = {}, [], [], []
    everything = np.concatenate([tables[d].features[rows[d][0]] for d in tables])
    mean, sd = everything.mean(0), everything.std(0) + 1e-9
    scales = {
        d: (tables[d].latency_ms[rows[d][0]].mean(), tables[d].latency_ms[rows[d][0]].std()) for d in tables
    }
    for device, table in tables.items():
        known = rows[device][0]
        with torch.no_grad():
            raw = problem.latency_ms(device, references)
        vectors[device] = device_vector([raw])
        encodings.append(torch.from_numpy((table.features[known] - mean) / sd).float())
        devices.append(vectors[device].expand(len(known), -1))
        values.append(
            torch.from_numpy((table.latency_ms[known] - scales[device][0]) / scales[device][1]).float()
        )
    network = fit_paper_network(torch.cat(encodings), torch.cat(devices), torch.cat(values), seed=seed)
    seconds = time.monotonic() - began
    for device, table in tables.items():
        kept = rows[device][1]
        encoding = torch.from_numpy((table.features[kept] - mean) / sd).float()
        with torch.no_grad():
            guess = network(encoding, vectors[device].expand(len(kept), -1)).double().numpy()
        guess = guess * scales[device][1] + scales[device][0]
        yield from _rows("paper-network", device, seed, (guess, table.latency_ms[kept]), seconds)


def _rows(
    method: str, device: str, seed: int, values: tuple[Floats, Floats], seconds: float
) -> Iterator[Row]:
    """Figures of (predicted, true) values."""
    figures = {
        "spearman": metrics.spearman(*values),
        "mean_relative_error": metrics.mean_relative_error(*values),
    }
    group = "search" if device in SEARCH_DEVICES else "unseen"
    for metric, value in figures.items():
        yield Row("predictor", method, device, group, seed, metric, value, None, seconds)
