"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.core.errors import UsageError
from harness.core.numerals import read_whole
from harness.measure.arch_lists import find_space
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
MetricOption = Annotated[str, typer.Option("--metric", help="latency or energy")]
MeasuredDevicesOption = Annotated[
    list[str] | None, typer.Option("--device", help="Device; repeat for several. All with data when absent.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]


# What a device can be asked for.
MEASURABLE = ("latency", "energy", "memory")


def make_metrics(text: str) -> frozenset[str]:
    """The set of metrics in a comma-separated list. Raises UsageError for an unknown one."""
    chosen = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(chosen - set(MEASURABLE))
    if unknown or not chosen:
        what = f"no metric {unknown[0]!r}" if unknown else "no metric"
        raise UsageError(f"--metrics {text}: {what}; known: {', '.join(MEASURABLE)}")
    return chosen


def make_space(name: str, settings: list[str] | None) -> Space:
    """The space with networks of the size the `--set` options give. Raises UsageError."""
    config: dict[str, Any] = {}
    for setting in settings or []:
        key, separator, value = setting.partition("=")
        try:
            if not separator:
                raise ValueError
            if key == "input":
                channels, height, width = (read_whole(part) for part in value.split("x"))
                config["input_shape"] = (channels, height, width)
            else:
                config[key] = read_whole(value)
        except ValueError as error:
            raise UsageError(f"--set {setting}: expected NAME=NUMBER or input=CxHxW") from error
    return find_space(name, **config)
