"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.core.errors import UsageError
from harness.core.numerals import read_whole
from harness.measure.arch_lists import find_space
from harness.store.metrics import METRICS, HardwareMetric, get_metric, get_metrics
from modnas.spaces import Space

SpaceOption = Annotated[str, typer.Option("--space", help="Search space.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Device, NAME or NAME@BATCH.")]
DevicesOption = Annotated[
    list[str], typer.Option("--device", help="Device, NAME or NAME@BATCH; several run side by side.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Network size, e.g. --set channels=16 --set cells=5 --set input=3x32x32."),
]
MeasuredDevicesOption = Annotated[
    list[str] | None, typer.Option("--device", help="Device; repeat for several. All with data when absent.")
]
# What all generators of random numbers take.
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of everything random.")]


def _metric_name(text: str | None) -> str | None:
    """A metric's own name for one that it goes by. Raises UsageError."""
    return None if text is None else get_metric(text).name


_KNOWN = f"{', '.join(METRICS.built_in)}, or another package's"
MetricOption = Annotated[str, typer.Option("--metric", callback=_metric_name, help=f"{_KNOWN}.")]
OptionalMetricOption = Annotated[
    str | None, typer.Option("--metric", callback=_metric_name, help="Only those of this metric.")
]
MetricsOption = Annotated[
    str, typer.Option("--metrics", help=f"Of {_KNOWN}, separated by commas; latency is always measured.")
]


def make_metrics(text: str) -> tuple[HardwareMetric, ...]:
    """The metrics in a comma-separated list, each once. Raises UsageError for an unknown one."""
    try:
        chosen = get_metrics(name.strip() for name in text.split(",") if name.strip())
    except UsageError as error:
        raise UsageError(f"--metrics {text}: {error}") from error
    if not chosen:
        raise UsageError(f"--metrics {text}: no metric; known: {', '.join(METRICS.names())}")
    return chosen


def make_space(space: str, settings: list[str] | None) -> Space:
    """The space with networks of the size the `--set` options give. Raises UsageError."""
    config: dict[str, Any] = {}
    for setting in settings or []:
        key, _, value = setting.partition("=")
        try:
            name, size = _size(key, value)
        except ValueError as error:
            raise UsageError(f"--set {setting}: expected NAME=NUMBER or input=CxHxW") from error
        if name in config:
            raise UsageError(f"--set {setting}: {key} is set already; give each size once")
        config[name] = size
    return find_space(space, **config)


def _size(key: str, value: str) -> tuple[str, int | tuple[int, int, int]]:
    """A size's name and value from what `--set` says. Raises ValueError."""
    if key != "input":
        return key, read_whole(value)
    channels, height, width = (read_whole(part) for part in value.split("x"))
    return "input_shape", (channels, height, width)
