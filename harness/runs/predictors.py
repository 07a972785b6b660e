"""The MetaPredictors of a run: what devices are measured for, the fits, devices as the search sees them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from harness.datasets.training_sets import (
    conditions,
    device_features,
    device_table,
    device_values,
    further_measurements,
)
from harness.runs import loop_record
from harness.runs.run import REFERENCES, Run
from harness.store import Store
from harness.store.metrics import HardwareMetric, get_metrics
from modnas.prediction import DeviceTable, Measured, MetaPredictor, fit_predictor, from_state, to_state
from modnas.prediction.holdout import judge_on_holdout
from modnas.search.devices import SearchDevice
from modnas.spaces import Architecture, Space

# How many architectures of the space give a metric's minimum and maximum on a device.
_RANGE_SAMPLE = 1000

Predictors = dict[str, MetaPredictor]


def hardware_metrics(run: Run) -> tuple[HardwareMetric, ...]:
    """The objectives that devices are measured for. Raises UsageError when one is not known here."""
    return get_metrics(objective for objective in run.config.objectives if objective != "error")


def signs(run: Run) -> Tensor:
    """What the predicted metrics are multiplied with so that all are minimised, (M - 1,)."""
    return torch.tensor([metric.sign for metric in hardware_metrics(run)], device=run.config.accelerator)


def profile_sample(run: Run, space: Space) -> list[Architecture]:
    """The architectures a device is measured on for a run: the references, then a fixed random sample."""
    settings = run.config.settings
    return known_sample(space, settings.profile_archs, run.config.seed)


def fit_predictors(run: Run, space: Space, store: Store) -> dict[str, dict[str, dict[str, float]]]:
    """Fit one MetaPredictor a metric on the run's devices; figures by metric and device.

    The predictor that is kept is fitted on everything, the figures come from one fitted without a holdout.
    """
    report: dict[str, dict[str, dict[str, float]]] = {}
    references: dict[str, dict[str, list[float]]] = {}
    known: dict[str, list[DeviceTable]] = {}
    sample, from_table = profile_sample(run, space), store.table_devices()
    for metric in (known.name for known in hardware_metrics(run)):
        tables = [
            _part_of_table(store, device, space, metric, sample)
            if device in from_table
            else device_table(store, device, space, metric)
            for device in run.config.devices
        ]
        known[metric] = tables
        references[metric] = {table.name: np.asarray(table.features).tolist() for table in tables}
        with run.blamed():
            report[metric] = judge_on_holdout(space, tables, run.config.settings.holdout, run.config.seed)
        tensors, meta = to_state(fit_predictor(space, tables, seed=run.config.seed))
        run.save_state(f"predictor-{metric}", tensors, meta)
    run.write_json(REFERENCES, references)
    if run.config.measure:
        loop_record.write_known(run, known, _states(store, run.config.devices, space))
    run.write_json("predictor.json", report)
    return report


def _states(store: Store, devices: Iterable[str], space: Space) -> dict[str, tuple[str, ...]]:
    """The state that each measured device was in last."""
    newest = {device: store.newest_measurement(device, space.name, space.variant) for device in devices}
    return {device: conditions(row) for device, row in newest.items() if row is not None}


def refit_predictors(run: Run, space: Space) -> Predictors:
    """Fit the run's predictors on all that is known now, with what was measured while its search ran."""
    done = len(loop_record.rounds(run))
    for metric in hardware_metrics(run):
        predictor = fit_predictor(space, loop_record.known_tables(run, space, metric), seed=run.config.seed)
        tensors, meta = to_state(predictor)
        run.save_state(f"predictor-{metric.name}", tensors, {**meta, "rounds": done})
    return load_predictors(run, space)


def reference_values(run: Run, store: Store, device: str, space: Space, metric: str) -> tuple[float, ...]:
    """What a device took for the reference architectures when the run's predictor was fitted; now, if it was
    not among the run's.
    """
    if run.has(REFERENCES):
        recorded: list[float] | None = run.read_json(REFERENCES).get(metric, {}).get(device)
        if recorded is not None:
            return tuple(recorded)
    return device_features(store, device, space, metric).values


def _further(run: Run, store: Store, device: str, space: Space, metric: str) -> Measured | None:
    """What was measured of a device besides the references, unless it is one of the run's: of those the run's
    predictors know what there was when they were fitted."""
    known = run.has(REFERENCES) and device in run.read_json(REFERENCES).get(metric, {})
    return None if known else further_measurements(store, device, space, metric)


def _part_of_table(
    store: Store, device: str, space: Space, metric: str, sample: list[Architecture]
) -> DeviceTable:
    """As much of a table device as would have been measured: the sample, or others where it lacks them.

    A search then uses as many values of every device, and a whole table could not be fitted.
    """
    values = device_values(store, device, space, metric)
    there = [a for a in dict.fromkeys([*sample, *values]) if a in values]
    return device_table(store, device, space, metric, there[: len(sample)])


def known_sample(space: Space, count: int, seed: int) -> list[Architecture]:
    """The references and `count` architectures drawn uniformly."""
    sample = space.sample(count, torch.Generator().manual_seed(1 + seed))
    return list(dict.fromkeys([*space.references, *sample]))


def range_sample(space: Space, seed: int) -> list[Architecture]:
    """What gives the range of a metric or of an error in the space: drawn uniformly."""
    # Of a small space half will do: not all that its size counts need be usable.
    count = min(_RANGE_SAMPLE, max(1, space.size // 2))
    return space.sample(count, torch.Generator().manual_seed(seed))


def load_predictors(run: Run, space: Space) -> Predictors:
    """The predictors that were fitted last, by metric, where the run's networks are."""
    done, found = len(loop_record.rounds(run)), {}
    for metric in hardware_metrics(run):
        with run.blamed():
            tensors, meta = run.load_state(f"predictor-{metric.name}")
            found[metric.name] = from_state(space, tensors, meta)
        if meta.get("rounds", 0) != done:  # it ended between a round and the fit
            tables = loop_record.known_tables(run, space, metric)
            found[metric.name] = fit_predictor(space, tables, seed=run.config.seed)
    return {metric: predictor.to(run.config.accelerator) for metric, predictor in found.items()}


def search_device(run: Run, space: Space, predictors: Predictors, store: Store, device: str) -> SearchDevice:
    """A device as the run's search sees it, or would: its references and the predictors."""
    references = {m: reference_values(run, store, device, space, m) for m in predictors}
    sample = space.encode(range_sample(space, run.config.seed)).to(run.config.accelerator)
    further = {m: _further(run, store, device, space, m) for m in predictors}
    return SearchDevice.known(device, references, predictors, sample, signs(run), further=further)
