"""`modnas-hw profile` on several devices: a live table, and one document for all."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.cli.output import print_table, say
from harness.devices.profile import DeviceProfile
from harness.errors import DeviceUnavailableError
from harness.failures import describe_failures
from harness.fleet import DeviceStatus, Fleet
from harness.store import Store
from modnas.spaces import Architecture, Space

_HEADERS = ["device", "state", "done", "rate/s", "left", "temperature", "last error"]


def run_fleet(
    targets: list[DeviceProfile],
    space: Space,
    chosen: list[Architecture],
    store: Store,
    seed: int,
    *,
    energy: bool,
    retry_before: datetime | None = None,
) -> list[DeviceStatus]:
    """`Fleet.run` with a table that is drawn again and again on a terminal, and once at the end elsewhere."""
    fleet = Fleet(targets, space, chosen, store, seed=seed, energy=energy, retry_before=retry_before)
    console = Console(file=sys.stderr)
    if console.is_terminal:
        with Live(_table(fleet.statuses), console=console, refresh_per_second=4) as live:
            fleet.run(lambda statuses: live.update(_table(statuses)))
    else:
        print_table([_cells(status) for status in fleet.run()], _HEADERS)
    for status in fleet.statuses:
        if status.error and status.state != "done":
            say(f"{status.device}: {status.error}")
        if status.report and status.report.failed:
            say(f"{status.device}: {describe_failures(status.report.rows, status.report.failed_reused)}")
    return fleet.statuses


def finish(statuses: list[DeviceStatus]) -> None:
    """Exit 3 when no device was there, 1 when something is missing or failed, else nothing."""
    lost = [status for status in statuses if status.state != "done"]
    if len(lost) == len(statuses):
        raise DeviceUnavailableError("none of the devices could be measured to the end; what was is kept")
    if lost or any(status.report and status.report.failed for status in statuses):
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
