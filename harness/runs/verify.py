"""Verification: the networks a search found, trained and measured, beside equally many random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy.stats import spearmanr

from harness.measure.reports import ProfileReport
from harness.runs.accuracy import AccuracySource
from harness.runs.predictors import hardware_metrics
from harness.runs.search import SearchRun
from harness.store import Evaluation, Measurement, Store
from harness.store.metrics import HardwareMetric, read
from modnas.accuracy import sotl
from modnas.search import indicators
from modnas.spaces import Architecture, Space

# Ends of an interval that too few samples give.
_UNKNOWN = (None, None)

Metrics: TypeAlias = Sequence[HardwareMetric]
Profiler = Callable[[list[Architecture]], ProfileReport]
OnEvaluation = Callable[[Evaluation, bool], None]


def random_architectures(space: Space, count: int, seed: int) -> list[Architecture]:
    """The random set a front is compared with: distinct, usable, uniform over the space."""
    return space.sample(count, torch.Generator().manual_seed(10_000 + seed))


def verify_device(
    state: SearchRun,
    device: str,
    store: Store,
    measure: Profiler,
    *,
    source: AccuracySource,
    on_evaluation: OnEvaluation | None = None,
) -> dict[str, Any]:
    """Measure and evaluate the front of one device and a random set of the same size.

    Args:
        measure: measures architectures on the device, none twice.
        source: of the networks' errors.

    Returns:
        `architectures` (the front's entries with `measured` added), `random` (the same for the random set),
        `hypervolume` of both, `hypervolume_by_metric` (of the error and one metric each), `sotl` (how many of
        the front the sum of training losses would have kept, and their hypervolume on the scale of
        `hypervolume`), `spearman` of prediction and measurement for each
        hardware metric, and what was measured, trained and reused.
    """
    run, space, task = state.run, state.space, state.task
    front = state.front(store, device)
    found = [space.parse(entry["arch"]) for entry in front]
    randoms = random_architectures(space, len(found), run.config.seed)
    report = measure([*found, *randoms])
    trained = {"now": 0, "reused": 0}

    def count(row: Evaluation, now: bool) -> None:
        trained["now" if now else "reused"] += 1
        if on_evaluation:
            on_evaluation(row, now)

    evaluations = source.evaluate([*found, *randoms], count)
    rows = {row.arch: row for row in report.rows}
    metrics = hardware_metrics(run)
    entries = [
        {**entry, "measured": _measured(rows[a.string], evaluations[a], metrics)}
        for entry, a in zip(front, found, strict=True)
    ]
    random_entries = [
        {"arch": a.id, "measured": _measured(rows[a.string], evaluations[a], metrics)} for a in randoms
    ]
    chance = task.chance_error
    return {
        "device": device,
        "task": run.config.task,
        "architectures": entries,
        "random": random_entries,
        "hypervolume": compare_hypervolumes(entries, random_entries, metrics, chance),
        "hypervolume_by_metric": {
            metric.name: compare_hypervolumes(entries, random_entries, [metric], chance) for metric in metrics
        },
        "sotl": _sotl([evaluations[a] for a in found], entries, random_entries, metrics, chance),
        "spearman": {metric.name: _agreement(entries, metric) for metric in metrics},
        "measured_now": report.measured,
        "measurements_reused": report.reused,
        "trained_now": trained["now"],
        "trainings_reused": trained["reused"],
    }


def _measured(row: Measurement, evaluation: Evaluation, metrics: Metrics) -> dict[str, Any]:
    measured: dict[str, Any] = {"error": evaluation.error}
    readings = {metric: read(metric, row) for metric in metrics}
    measured.update({metric.key: found.value for metric, found in readings.items()})
    if row.status != "ok":
        measured["failure"] = f"{row.reason}: {row.message}"
    elif absent := {m.key: found.reason for m, found in readings.items() if found.value is None}:
        measured["absent"] = absent
    for metric, found in readings.items():
        if found.spread or found.interval:
            measured[f"{metric.name}_interval_{metric.suffix}"] = list(found.spread or _UNKNOWN)
            measured[f"{metric.name}_ci_{metric.suffix}"] = list(found.interval or _UNKNOWN)
    if "source" in row.record:
        measured["source"] = row.record["source"]
    if row.record.get("warnings"):
        measured["warnings"] = row.record["warnings"]
    return measured


def compare_hypervolumes(
    front: Sequence[dict[str, Any]], randoms: Sequence[dict[str, Any]], metrics: Metrics, chance: float
) -> dict[str, float]:
    """Hypervolumes of two measured sets on one scale; larger is better.

    Networks no better than guessing (error >= `chance` percent) are dropped; error and metrics are min-max
    scaled over both sets together; the reference point is (1, ..., 1). The same rule as for NAS-Bench-201's
    tables, with the two sets in place of the whole space.
    """
    points = {
        name: _points(entries, metrics, chance) for name, entries in (("front", front), ("random", randoms))
    }
    everything = np.concatenate(list(points.values()))
    if len(everything) == 0:
        return {"front": 0.0, "random": 0.0}
    low, high = everything.min(0), everything.max(0)
    return {
        name: indicators.hypervolume(indicators.scale(values, low, high)) for name, values in points.items()
    }


def _sotl(
    evaluations: Sequence[Evaluation],
    entries: Sequence[dict[str, Any]],
    randoms: Sequence[dict[str, Any]],
    metrics: Metrics,
    chance: float,
) -> dict[str, Any] | None:
    """What training only the front by the first epochs' losses would have left (see `modnas.accuracy.sotl`).

    None where networks were not trained but have the supernetwork's weights.
    """
    if not all(row.losses for row in evaluations):
        return None
    predicted = [[m.sign * entry["predicted"][m.key] for m in metrics] for entry in entries]
    chosen = sotl.kept([sotl.score(row.losses) for row in evaluations], predicted)
    scale = _points([*entries, *randoms], metrics, chance)
    points = _points([entries[i] for i in chosen], metrics, chance)
    volume = 0.0
    if len(scale):
        volume = indicators.hypervolume(indicators.scale(points, scale.min(0), scale.max(0)))
    return {
        "epochs": min(sotl.EPOCHS, len(evaluations[0].losses)),
        "kept": len(chosen),
        "hypervolume": volume,
    }


def _points(entries: Sequence[dict[str, Any]], metrics: Metrics, chance: float) -> Any:
    """Measured error and metrics, to be minimised, of the networks that have all of them, (n, M)."""
    names = ["error", *(metric.key for metric in metrics)]
    rows = [[entry["measured"][name] for name in names] for entry in entries]
    kept = [row for row in rows if None not in row and row[0] < chance]
    signs = [1.0, *(metric.sign for metric in metrics)]
    return np.array(kept, dtype=np.float64).reshape(-1, len(names)) * signs


def _agreement(entries: Sequence[dict[str, Any]], metric: HardwareMetric) -> float | None:
    """Spearman's rank correlation of predicted and measured values; None when it is not defined."""
    pairs = [(entry["predicted"][metric.key], entry["measured"][metric.key]) for entry in entries]
    known = [(p, m) for p, m in pairs if m is not None]
    if len(known) < 3:
        return None
    value = float(spearmanr(*zip(*known, strict=True)).statistic)
    return value if np.isfinite(value) else None
