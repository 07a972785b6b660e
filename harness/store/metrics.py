"""The metrics there are: those that every measurement has, and those of other packages.

Another package offers a metric as an entry point of the group `modnas_hw.metrics`: an object of
`modnas.core.metric.Metric`, which reads it from a stored row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from harness.core.errors import UsageError
from harness.store.models import Measurement
from modnas.core.metric import Metric, Reading
from modnas.core.registry import PluginError, Registry, UnknownNameError

HardwareMetric: TypeAlias = Metric[Measurement]

# What a row that was looked up in tables has instead of a measurement's record: values by metric.
LOOKED_UP = "looked_up"
# An earlier name, by which one still may be asked for.
_ALIASES = {"memory": "peak_memory"}


def energy_sensor(row: Measurement) -> str | None:
    """The sensor that a row's energy was asked of."""
    return (row.record.get("energy") or {}).get("sensor")


def energy_failure(row: Measurement) -> str | None:
    """Why a row has no energy although a sensor was asked; None for every other row."""
    return (row.record.get("energy") or {}).get("reason")


def _latency(row: Measurement) -> Reading:
    return Reading(
        row.latency_ms,
        spread=_both(row.latency_p10_ms, row.latency_p90_ms),
        interval=_both(row.latency_ci_low_ms, row.latency_ci_high_ms),
    )


def _both(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _energy(row: Measurement) -> Reading:
    # That a device has a sensor, and which, is not the row's to know: see `harness.measure.energy_source`.
    asked = "it was not asked for, or there was no power sensor, when this was measured"
    return Reading(row.energy_mj, reason=None if row.energy_mj is not None else energy_failure(row) or asked)


def _peak_memory(row: Measurement) -> Reading:
    # Agents have always told it where their board did, so that no row is too old for it.
    unknown = None if row.memory_mb is not None else "the device does not tell what a process takes"
    return Reading(row.memory_mb, reason=unknown)


def _load_time(row: Measurement) -> Reading:
    return _recorded(row, "load_time_ms", row.record.get("load_time_ms"), "the agent did not time it")


def _file_size(row: Measurement) -> Reading:
    return _recorded(row, "file_size_mb", row.record.get("file_size_mb"), "the file was not there any more")


def _recorded(row: Measurement, field: str, value: float | None, reason: str) -> Reading:
    """A single value out of the record; a row from before there was such a field is outdated."""
    if value is not None:
        return Reading(value)
    if field not in row.record:
        return Reading(reason="the measurement is from before this was recorded", outdated=True)
    return Reading(reason=reason)


LATENCY = Metric("latency", "ms", _latency)
ENERGY = Metric("energy", "mJ", _energy, needs_sensor=True, origin=energy_sensor)
PEAK_MEMORY = Metric("peak_memory", "MB", _peak_memory)
LOAD_TIME = Metric("load_time", "ms", _load_time)
FILE_SIZE = Metric("file_size", "MB", _file_size)

METRICS: Registry[HardwareMetric] = Registry(
    "metric",
    "modnas_hw.metrics",
    {
        "latency": "harness.store.metrics:LATENCY",
        "energy": "harness.store.metrics:ENERGY",
        "peak_memory": "harness.store.metrics:PEAK_MEMORY",
        "load_time": "harness.store.metrics:LOAD_TIME",
        "file_size": "harness.store.metrics:FILE_SIZE",
    },
    accepts=lambda found: isinstance(found, Metric),
    expected="a modnas.core.metric.Metric",
)


def get_metric(name: str) -> HardwareMetric:
    """The metric of this name.

    Raises:
        UsageError: there is none; the message lists those there are.
        PluginError: another package's, which cannot be used.
    """
    known = _ALIASES.get(name, name)
    try:
        metric = METRICS.load(known)
    except UnknownNameError as error:
        raise UsageError(str(error)) from error
    if metric.name != known:
        raise PluginError(
            f"metric {known!r} of package {METRICS.origin(known)} is named {metric.name!r}; ask its authors"
        )
    return metric


def get_metrics(names: Iterable[str]) -> tuple[HardwareMetric, ...]:
    """The metrics of these names, each once, in their order. Raises UsageError."""
    found = [get_metric(name) for name in names]
    return tuple(dict.fromkeys(found))


def read(metric: HardwareMetric, row: Measurement) -> Reading:
    """What a row says of a metric, whether it was measured or looked up; a failed one has no value."""
    if LOOKED_UP in row.record:
        value = row.record[LOOKED_UP].get(metric.name)
        return Reading(value, reason=None if value is not None else "the table does not have it")
    if row.status != "ok":
        return Reading(reason=f"{row.reason}: {row.message}")
    return metric.read(row)


def value_of(metric: HardwareMetric, row: Measurement) -> float | None:
    """The metric's value in a row, in its unit; None where it has none."""
    return read(metric, row).value
