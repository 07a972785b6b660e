"""Import of tables into the store: the published ones of NAS-Bench-201, and anyone's `arch,value` file."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from harness.datasets import UNITS, check_metric
from harness.devices.profile import NAME_PATTERN
from harness.errors import UsageError
from harness.store import ImportedTable, Store
from harness.tables import nasbench201, ofa
from harness.tables.devices import check_free
from modnas.spaces import ArchitectureError, Space, get_space

_HEADER = ["arch", "value"]
_NAME = re.compile(rf"{NAME_PATTERN}(@[0-9]{{1,5}})?")


@dataclass(frozen=True)
class Table:
    """Values of one metric on one device: `entries` by canonical string, in `unit`; `source` says whence."""

    device: str
    metric: str
    unit: str
    source: str
    entries: Mapping[str, float]


@dataclass(frozen=True)
class Imported:
    """What an import did with one table: `added` of its `architectures` were new or had another value."""

    device: str
    metric: str
    architectures: int
    added: int


def import_tables(store: Store, space: Space, tables: Iterable[Table]) -> list[Imported]:
    """Append what the store does not have yet of each table, all tables or none.

    Args:
        space: its name and network size are those of the values.

    Raises:
        UsageError: a device's name belongs to a profile.
    """
    rows, report = [], []
    for table in tables:
        check_free(table.device)
        known = _known(store, space, table)
        new = {arch: value for arch, value in table.entries.items() if known.get(arch) != value}
        report.append(Imported(table.device, table.metric, len(table.entries), len(new)))
        if new:
            rows.append(
                ImportedTable(
                    device=table.device,
                    space=space.name,
                    variant=space.variant,
                    metric=table.metric,
                    unit=table.unit,
                    source=table.source,
                    created_at=datetime.now(timezone.utc),
                    entries=new,
                )
            )
    store.add(*rows)
    return report


def _known(store: Store, space: Space, table: Table) -> dict[str, float]:
    known: dict[str, float] = {}
    for row in store.tables(table.device, space.name, table.metric):
        if row.variant == space.variant:
            known.update(row.entries)
    return known


def import_nasbench201(store: Store, data: Path) -> tuple[Space, list[Imported]]:
    """Import the 19 devices' latency, and the energy of the two that have it.

    The values belong to the networks of the benchmark: C = 16, N = 5, 32x32 pixels, CIFAR-10's classes.
    Raises UsageError when the tables are missing, damaged or of other cells than the space's.
    """
    space = get_space("nasbench201", channels=16, cells=5, classes=10, input_shape=(3, 32, 32))
    published = nasbench201.load(data)
    folder = data.resolve() / "nb201"
    tables = [
        Table(
            device, metric, unit, source, _published_entries(space, device, published.archs, values.tolist())
        )
        for metric, unit, source, by_device in (
            ("latency", "ms", f"{folder / 'latency.npz'}", published.latency_ms),
            ("energy", "mj", f"{folder / 'energy_reconstructed.npz'} (modelled)", published.energy_mj),
        )
        for device, values in by_device.items()
    ]
    return space, import_tables(store, space, tables)


def import_ofa(store: Store, data: Path) -> tuple[Space, list[Imported]]:
    """Import the latency of once-for-all's MobileNetV3 networks on 12 devices.

    The values belong to networks of width 1.2 with 1,000 classes and inputs of 128 to 224 pixels. Raises
    UsageError when the tables are missing or damaged.
    """
    published = ofa.load(data)
    source = f"{data.resolve() / 'ofa' / 'archs_latency.npz'}"
    archs = tuple(architecture.string for architecture in published.architectures)
    tables = [
        Table(
            device,
            "latency",
            "ms",
            source,
            _published_entries(published.space, device, archs, values.tolist()),
        )
        for device, values in published.latency_ms.items()
    ]
    return published.space, import_tables(store, published.space, tables)


# Published tables that `dataset import` knows, by name.
IMPORTERS: dict[str, Callable[[Store, Path], tuple[Space, list[Imported]]]] = {
    "nasbench201": import_nasbench201,
    "ofa": import_ofa,
}
BENCHMARKS = tuple(IMPORTERS)


def _published_entries(
    space: Space, device: str, archs: tuple[str, ...], values: list[float]
) -> dict[str, float]:
    entries = dict(zip(archs, values, strict=False))
    try:
        whole = len(entries) == len(archs) == len(values)
        if not whole or not all(space.parse(arch).string == arch for arch in archs[:: len(archs) // 50 or 1]):
            raise UsageError(f"the table of {device} has not one value a cell of {space.name}")
    except ArchitectureError as error:
        raise UsageError(f"the table of {device}: {error}") from error
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise UsageError(f"the table of {device} has values that are not positive numbers")
    return entries


def import_csv(
    store: Store, path: Path, device: str, space: Space, *, metric: str, unit: str | None
) -> list[Imported]:
    """Import one file with the header `arch,value`; nothing of it is kept unless all of it is good.

    Raises UsageError naming the file and line of the first thing wrong.
    """
    check_metric(metric)
    if (unit or UNITS[metric]).lower() != UNITS[metric]:
        raise UsageError(f"--unit {unit}: {metric} is kept in {UNITS[metric]}; convert the values first")
    if _NAME.fullmatch(device) is None:
        raise UsageError(
            f"--device {device!r} is no device name: letters, digits, _ . - and at most 64 of them"
        )
    table = Table(device, metric, UNITS[metric], str(path.resolve()), read_csv(path, space))
    return import_tables(store, space, [table])


def read_csv(path: Path, space: Space) -> dict[str, float]:
    """Values by canonical string from a file with the header `arch,value`.

    Values must be positive numbers, and every architecture occurs once. Raises UsageError with file and line.
    """
    entries: dict[str, float] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            for row in rows:
                line = rows.line_num
                if line == 1 and [name.strip() for name in row] != _HEADER:
                    raise UsageError(f"{path}, line 1: the header must be arch,value, not {','.join(row)!r}")
                if line > 1 and row:
                    arch, value = _entry(f"{path}, line {line}", row, space)
                    if arch in entries:
                        raise UsageError(f"{path}, line {line}: {arch} occurs twice")
                    entries[arch] = value
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"table {path} cannot be read: {error}") from error
    if not entries:
        raise UsageError(
            f"table {path} is empty: give the header arch,value and a line for each architecture"
        )
    return entries


def _entry(where: str, row: list[str], space: Space) -> tuple[str, float]:
    if len(row) != 2:
        raise UsageError(f"{where}: expected an architecture and a value, not {len(row)} fields")
    try:
        arch = space.parse(row[0]).string
    except ArchitectureError as error:
        raise UsageError(f"{where}: {error}") from error
    try:
        value = float(row[1].replace("_", "?"))  # Python would read 1_0 as ten
    except ValueError as error:
        raise UsageError(f"{where}: {row[1].strip()!r} is not a number") from error
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{where}: {row[1].strip()} is not a positive number")
    return arch, value
