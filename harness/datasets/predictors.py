"""The MetaPredictor of a space and a metric: fitted to what was measured, judged, kept in the home, asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.commands import advised
from harness.core.errors import UsageError
from harness.core.tensors import load_tensors, save_tensors
from harness.datasets.training_sets import (
    device_features,
    further_measurements,
    named_tables,
    predictor_path,
    thinned,
)
from harness.devices.table import find_device
from harness.store import Store
from harness.store.metrics import get_metric
from modnas.prediction import DeviceTable, MetaPredictor, fit_predictor, from_state, to_state
from modnas.prediction.holdout import judge_on_holdout
from modnas.spaces import Architecture, Space

# By device, the figures of `modnas.prediction.holdout`.
Figures = dict[str, dict[str, float]]


# Architectures to measure on a device that has too few.
_MORE = 50


@dataclass(frozen=True)
class Prediction:
    """One architecture's predicted value, in the metric's unit; 90 % of true ones lie between the bounds."""

    arch: str
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Predictions:
    """What the predictor says of architectures on a device, in the order they were given."""

    device: str
    metric: str
    unit: str
    predictions: list[Prediction]


def training_tables(
    store: Store, space: Space, metric: str, devices: Sequence[str] | None, *, limit: int, seed: int
) -> list[DeviceTable]:
    """Every device's share of a training set, at most `limit` architectures each; see `named_tables`."""
    return [thinned(table, limit, seed) for table in named_tables(store, space, metric, devices)]


def judge_predictor(
    space: Space, metric: str, tables: list[DeviceTable], holdout: float, seed: int
) -> Figures:
    """How well a predictor does on a share of each device's architectures that it was not fitted to.

    Raises UsageError when there is too little to hold out.
    """
    try:
        return judge_on_holdout(space, tables, holdout, seed)
    except ValueError as error:
        least = min(tables, key=lambda table: len(table.architectures))
        # So many more that are drawn at random, and these begin with those that were drawn before.
        count = len(least.architectures) + _MORE
        command = advised(f"profile --archs {count}", space, device=least.name, metrics=metric)
        raise UsageError(f"{error}; run {command}") from error


def train_predictor(space: Space, metric: str, tables: list[DeviceTable], seed: int) -> Path:
    """Fit a predictor to everything in the tables and keep it; where it is."""
    path = predictor_path(space, metric)
    save_tensors(path, *to_state(fit_predictor(space, tables, seed=seed)))
    return path


def kept_predictor(space: Space, metric: str) -> MetaPredictor:
    """The predictor that `train_predictor` kept. Raises UsageError when there is none."""
    path = predictor_path(space, metric)
    if not path.is_file():
        command = advised("predictor train", space, metric=metric)
        raise UsageError(f"no predictor of {metric} for {space.name} {space.variant}; run {command}")
    return from_state(space, *load_tensors(path))


def predict(
    store: Store, space: Space, metric: str, device: str, architectures: Sequence[Architecture]
) -> Predictions:
    """Ask the predictor that was kept for this space and metric.

    Raises:
        UsageError: there is none, or no such device.
        DatasetError: the device lacks a reference architecture.
    """
    name, predictor = find_device(device, store).id, kept_predictor(space, metric)
    further = further_measurements(store, name, space, metric)
    found = predictor.predict(architectures, device_features(store, name, space, metric).values, further)
    values = zip(architectures, found.value, found.lower, found.upper, strict=True)
    predictions = [Prediction(a.id, float(v), float(low), float(high)) for a, v, low, high in values]
    return Predictions(name, metric, get_metric(metric).suffix, predictions)
