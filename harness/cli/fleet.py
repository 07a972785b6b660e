"""`modnas-hw profile` on several devices: a live table, and one document for all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.cli.output import print_table, say
from harness.core.errors import DeviceUnavailableError
from harness.measure.failures import describe_failures
from harness.measure.fleet import DeviceStatus
from harness.measure.profile_devices import Profiled

_HEADERS = ["device", "state", "done", "rate/s", "left", "temperature", "last error"]


class FleetTable:
    """A table of several devices, drawn again and again on a terminal, and once at the end elsewhere."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._live: Live | None = None
        self._last: list[DeviceStatus] = []

    def __enter__(self) -> FleetTable:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._live:
            self._live.stop()
        elif self._last and kind is None:
            print_table([_cells(status) for status in self._last], _HEADERS)

    def show(self, statuses: list[DeviceStatus]) -> None:
        """Show how the devices stand."""
        self._last = statuses
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(_table(statuses), console=self._console, refresh_per_second=4)
                self._live.start()
            self._live.update(_table(statuses))


def tell_troubles(found: Sequence[Profiled]) -> None:
    """A line for each device that was given up, and for each on which networks failed."""
    for one in found:
        if one.error and one.state != "done":
            say(f"{one.device}: {one.error}")
        if one.report and one.report.failed:
            say(f"{one.device}: {describe_failures(one.report.rows, one.report.failed_reused)}")


def none_left(found: Sequence[Profiled]) -> DeviceUnavailableError | None:
    """The error where no device came to its end."""
    if any(one.state == "done" for one in found):
        return None
    return DeviceUnavailableError("none of the devices could be measured to the end; what was is kept")


def finish(found: Sequence[Profiled]) -> None:
    """Exit 3 when no device was there, 1 when something is missing or failed, else nothing."""
    failure = none_left(found)
    if failure is not None:  # said here: the document of all devices is printed already
        say(f"error: {failure}")
        raise typer.Exit(failure.exit_code)
    if any(one.state != "done" or (one.report and one.report.failed) for one in found):
        raise typer.Exit(1)


def _table(statuses: list[DeviceStatus]) -> Table:
    table = Table(*_HEADERS)
    for status in statuses:
        table.add_row(*(Text(str(cell)) for cell in _cells(status)))  # no markup: [/x] is not ours
    return table


def _cells(status: DeviceStatus) -> list[Any]:
    total = "?" if status.total is None else str(status.total)
    return [
        status.device,
        status.state,
        f"{status.done}/{total}" + (f" (+{status.reused})" if status.reused else ""),
        "-" if status.rate is None else f"{status.rate:.2f}",
        "-" if status.eta_s is None else f"{status.eta_s:.0f} s",
        "-" if status.temperature_c is None else f"{status.temperature_c:.0f} °C",
        status.error or "",
    ]
