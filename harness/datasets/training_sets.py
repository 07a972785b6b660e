"""From stored measurements to device vectors and to the MetaPredictor's training set."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from harness.core.commands import advised
from harness.core.errors import ModnasHwError, UsageError
from harness.core.home import subfolder, write_atomically
from harness.core.system_errors import told
from harness.datasets.packed import read_npz
from harness.devices.profile import POLICY_IN_KEY
from harness.devices.table import find_device, stored_table
from harness.store import Measurement, Store
from harness.store.metrics import HardwareMetric, get_metric, read
from harness.store.transient import is_transient
from modnas.core.bounded import TooLargeError
from modnas.prediction import DeviceTable, Measured
from modnas.prediction.device_vectors import device_vector
from modnas.spaces import Architecture, Space

# Half-width of a 95 % interval in standard deviations, and the relative one of a value with warnings.
_NORMAL_95, _WARNED = 1.96, 0.1
# Bytes of a training set, unpacked; that of all NAS-Bench-201 cells on its 19 devices has under 10 MB.
_LARGEST = 1 << 29


class DatasetError(ModnasHwError):
    """There are not the measurements that were asked for."""

    code = "no-measurements"


@dataclass(frozen=True)
class Features:
    """A device's measurements of the ten reference architectures, for one metric.

    `values`: in the metric's unit, in the order of `space.references`.
    """

    device: str
    metric: str
    values: tuple[float, ...]

    @property
    def vector(self) -> Tensor:
        """The values min-max scaled over the ten to [0, 1], shape (10,) (Lee et al., HELP, 2021)."""
        return device_vector([self.values])


def device_values(
    store: Store, device: str, space: Space, metric: str, like: Measurement | None = None
) -> dict[Architecture, float]:
    """Values of one device in one state, by architecture; a table device's are those of its table.

    Only rows that were measured like `like` count, the newest one when it is absent: same fingerprint,
    backend options and protocol, and the metric's origin (see `Metric.origin`) of the newest row that has it.
    """
    values = _values(store, device, space, metric, like)
    return {space.parse(text): value for text, value in values.items()}


def _values(
    store: Store, device: str, space: Space, metric: str, like: Measurement | None = None
) -> dict[str, float]:
    """`device_values` by the architectures' strings: parsing a whole table takes longer than reading it."""
    known = get_metric(metric)
    table = stored_table(store, device, space, known.name)
    if table is not None:
        return table.values
    return _measured_values(_rows_like(store, device, space, like), known)


def _rows_like(store: Store, device: str, space: Space, like: Measurement | None) -> list[Measurement]:
    """Rows of one device that were measured like `like`, or like its newest row."""
    rows = store.device_measurements(device, space.name, space.variant)
    wanted = conditions(like or rows[-1]) if rows else None
    return [row for row in rows if conditions(row) == wanted]


def _measured_values(rows: Sequence[Measurement], metric: HardwareMetric) -> dict[str, float]:
    """Values by architecture of the rows that have them, of the newest one's origin."""
    return {arch: value for arch, (_, value) in _readings(rows, metric).items()}


def _readings(rows: Sequence[Measurement], metric: HardwareMetric) -> dict[str, tuple[Measurement, float]]:
    """`_measured_values` with the row that each is from."""
    values = [(row, value) for row in rows if (value := read(metric, row).value) is not None]
    origin = metric.origin(values[-1][0]) if values else None
    return {row.arch: (row, float(value)) for row, value in values if metric.origin(row) == origin}


def device_deviations(
    store: Store, device: str, space: Space, metric: str, like: Measurement | None = None
) -> dict[Architecture, float]:
    """Standard deviations of `device_values`, in the metric's unit, as far as their rows tell; 0 where not.

    By the width of a row's confidence interval. A value measured under a warning may be a tenth off, unless
    most have warnings: then it is not a passing disturbance but the device. Those of tables are not known.
    """
    known = get_metric(metric)
    if stored_table(store, device, space, known.name) is not None:
        return {}
    readings = _readings(_rows_like(store, device, space, like), known)
    warned = [arch for arch, (row, _) in readings.items() if row.record.get("warnings")]
    doubtful = set(warned) if 2 * len(warned) <= len(readings) else set()
    found = {}
    for arch, (row, value) in readings.items():
        interval = read(known, row).interval
        width = (interval[1] - interval[0]) / (2 * _NORMAL_95) if interval else 0.0
        found[space.parse(arch)] = max(width, _WARNED * value) if arch in doubtful else width
    return found


def conditions(row: Measurement) -> tuple[str, str, str]:
    """What two rows of one device must share for their values to be compared: machine, backend, settings."""
    options, policy = row.request.get("options"), row.request.get("protocol") or {}
    protocol = [policy.get(name) for name in POLICY_IN_KEY]
    return row.fingerprint, row.backend, json.dumps([options, protocol], sort_keys=True)


def device_features(
    store: Store, device: str, space: Space, metric: str = "latency", like: Measurement | None = None
) -> Features:
    """The device's vector from the store, `like` as in `device_values`.

    Raises DatasetError when a reference was not measured.
    """
    values = _values(store, device, space, metric, like)
    missing = [a for a in space.references if a.string not in values]
    if missing:
        table = stored_table(store, device, space, metric)
        if table is None:
            hint = _advice(_rows_like(store, device, space, like), device, space, metric, missing)
        else:
            command = advised("dataset import FILE", space, device=device, metric=metric)
            hint = f"import a FILE with them: {command}"
        raise DatasetError(
            f"device {device}: {len(missing)} of {len(space.references)} reference architectures have no "
            f"{metric} for {space.name} {table.variant if table else space.variant}; {hint}"
        )
    return Features(device, metric, tuple(values[a.string] for a in space.references))


def _advice(
    rows: Sequence[Measurement], device: str, space: Space, metric: str, missing: Sequence[Architecture]
) -> str:
    """Why the first reference has no value, where it was measured, and the command that measures it."""
    newest = {row.arch: row for row in rows}
    found = [newest[a.string] for a in missing if a.string in newest]
    reasons = [(row, reason) for row in found if (reason := read(get_metric(metric), row).reason)]
    why = f"of {reasons[0][0].arch}: {reasons[0][1]}; " if reasons else ""
    if any(row.status != "ok" and not is_transient(row) for row in found):
        return f"{why}measuring again gives the same, take another runtime for the device's profile"
    if any(map(is_transient, found)):  # remembered, so that `features` would not measure it
        command = "profile --archs reference --retry-failed"
        return f"{why}run {advised(command, space, device=device, metrics=metric)}"
    return f"{why}run {advised('features', space, device=device, metric=metric)}"


def device_table(
    store: Store,
    device: str,
    space: Space,
    metric: str = "latency",
    only: Collection[Architecture] | None = None,
) -> DeviceTable:
    """One device's share of a training set: its vector and everything measured on it, or that of `only`."""
    features = device_features(store, device, space, metric)
    values = device_values(store, device, space, metric)
    if only is not None:
        values = {a: values[a] for a in only if a in values}
    deviations = device_deviations(store, device, space, metric)
    return DeviceTable(
        name=device,
        features=np.array(features.values),
        architectures=list(values),
        values=np.array(list(values.values())),
        deviations=np.array([deviations.get(a, 0.0) for a in values]),
    )


def further_measurements(
    store: Store, device: str, space: Space, metric: str, limit: int = 150
) -> Measured | None:
    """What was measured on a device besides the references, at most `limit` of it; None where nothing was.

    None for a table device too: its table stands for what could be measured, not for what was.
    """
    if stored_table(store, device, space, get_metric(metric).name) is not None:
        return None
    references = set(space.references)
    values = {a: v for a, v in device_values(store, device, space, metric).items() if a not in references}
    deviations = device_deviations(store, device, space, metric)
    some = list(values)[-limit:]
    if not some:
        return None
    return Measured(some, [values[a] for a in some], [deviations.get(a, 0.0) for a in some])


def named_tables(store: Store, space: Space, metric: str, devices: Sequence[str] | None) -> list[DeviceTable]:
    """`device_table` of the named devices, of all whose vector is complete where none is named.

    Raises:
        UsageError: no such device or metric, or nothing was measured.
        DatasetError: a device lacks a reference architecture.
    """
    names = [find_device(name, store).id for name in devices or []]
    names = names or measured_devices(store, space, metric)
    if not names:
        raise UsageError(
            f"no device has measurements of {space.name} {space.variant}; "
            f"run {advised('features', space, device='NAME', metric=metric)} for each device"
        )
    return [device_table(store, name, space, metric) for name in names]


def describe(table: DeviceTable) -> dict[str, Any]:
    """What a device brings to a training set, as JSON: how many architectures, and their values' range."""
    return {
        "device": table.name,
        "architectures": len(table.architectures),
        "min": float(np.min(table.values)),
        "max": float(np.max(table.values)),
    }


def thinned(table: DeviceTable, limit: int, seed: int) -> DeviceTable:
    """A table with at most `limit` architectures, drawn at random; the vector stays."""
    count = len(table.architectures)
    if count <= limit:
        return table
    return table.rows(sorted(np.random.default_rng(seed).permutation(count)[:limit].tolist()))


def measured_devices(store: Store, space: Space, metric: str = "latency") -> list[str]:
    """Devices in the store whose vector for this space at this network size is complete.

    A table of networks of another size is used only for a device that is named.
    """
    tables = set(store.table_devices(space.name, space.variant))
    measured = set(store.devices(space.name, space.variant)) - set(store.table_devices())
    found = []
    for device in sorted(tables | measured):
        values = _values(store, device, space, metric)
        if all(a.string in values for a in space.references):
            found.append(device)
    return found


def dataset_path(space: Space, metric: str) -> Path:
    """Where `dataset build` puts a training set."""
    return subfolder("datasets") / f"{space.name}-{space.variant}-{metric}.npz"


def predictor_path(space: Space, metric: str) -> Path:
    """Where `predictor train` puts a MetaPredictor."""
    return subfolder("predictors") / f"{space.name}-{space.variant}-{metric}.safetensors"


def save_dataset(path: Path, space: Space, metric: str, tables: Sequence[DeviceTable]) -> None:
    """Write a training set as .npz without pickled objects.

    Arrays: `archs` (n,) text; `encodings` (n, width) one-hot; `devices` (t,) text; `features` (t, 10), raw;
    `values` (t, n) in the metric's unit, NaN where a device has no measurement.
    Raises UsageError when the file cannot be written.
    """
    archs = list(dict.fromkeys(a for table in tables for a in table.architectures))
    position = {a: i for i, a in enumerate(archs)}
    values = np.full((len(tables), len(archs)), np.nan)
    for row, table in zip(values, tables, strict=True):
        row[[position[a] for a in table.architectures]] = table.values
    arrays: dict[str, Any] = {
        "space": np.array(space.name),
        "variant": np.array(space.variant),
        "metric": np.array(metric),
        "unit": np.array(get_metric(metric).suffix),
        "archs": np.array([a.string for a in archs]),
        "encodings": space.encode(archs).numpy(),
        "devices": np.array([table.name for table in tables]),
        "features": np.stack([np.asarray(table.features) for table in tables]),
        "values": values,
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise UsageError(f"data set {path} cannot be written: {told(error, path)}") from error


def load_dataset(path: Path, space: Space, metric: str = "latency") -> list[DeviceTable]:
    """Read what `save_dataset` wrote. Raises UsageError for a missing, damaged or foreign file.

    `metric`: what it is expected to be of, for the command that makes one. Raises TooLargeError.
    """
    try:
        arrays = read_npz(path, _LARGEST)
        found = f"{arrays['space']} {arrays['variant']}"
        if found != f"{space.name} {space.variant}":
            raise UsageError(f"data set {path} is of {found}, not of {space.name} {space.variant}")
        archs = [space.parse(str(text)) for text in arrays["archs"]]
        tables = []
        for name, vector, row in zip(arrays["devices"], arrays["features"], arrays["values"], strict=True):
            measured = np.flatnonzero(np.isfinite(row))
            tables.append(
                DeviceTable(
                    name=str(name),
                    features=vector,
                    architectures=[archs[i] for i in measured],
                    values=row[measured],
                )
            )
        return tables
    except (UsageError, TooLargeError):
        raise
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds for a damaged file
        reason = told(error, path) if isinstance(error, OSError) else "it is damaged, or no data set"
        raise UsageError(
            f"data set {path} cannot be read: {reason}; build one with: "
            f"{advised('dataset build', space, metric=metric)}"
        ) from error
