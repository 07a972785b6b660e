"""Import of tables into the store: the published ones of NAS-Bench-201, and anyone's `arch,value` file."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.errors import UsageError
from harness.datasets import nasbench201, ofa
from harness.datasets.accuracies import accuracies_name
from harness.datasets.plausible import Judgement, Plausibility
from harness.datasets.training_sets import device_values
from harness.datasets.value_files import read_rows, read_values
from harness.devices.profile import NAME_PATTERN
from harness.devices.table import check_free, check_hides_none
from harness.store import ERROR_METRIC, ImportedTable, Store
from harness.store.metrics import get_metric
from modnas.spaces import ArchitectureError, Space, get_space
from modnas.tasks import task_names

_NAME = re.compile(rf"{NAME_PATTERN}(@[0-9]{{1,5}})?")
# So many rows that cannot be right are named in an error.
_NAMED = 20
# A whole table so many times beyond what is usual is stored with a warning: there are such devices.
_UNUSUAL = 20.0


@dataclass(frozen=True)
class Table:
    """Values of one metric on one device: `entries` by canonical string, in `unit`; `source` says whence.

    `lines`: where in the source an entry is, for those read from a text file.
    """

    device: str
    metric: str
    unit: str
    source: str
    entries: Mapping[str, float]
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """What an import did with one table: `added` of its `architectures` were new or had another value.

    `warnings`: one a row that does not look right, and one where the whole table does not.
    """

    device: str
    metric: str
    architectures: int
    added: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Consent:
    """What the person agreed to: that a table hides a shipped profile, that rows cannot be right."""

    replace: bool = False
    implausible: bool = False


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Args:
        imported: tables of devices.
        left_out: published devices whose name is taken, with the reason.
        accuracies: errors of networks on tasks.
    """

    space: Space
    imported: list[Imported]
    left_out: dict[str, str]
    accuracies: list[Imported] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "space": self.space.name,
            "variant": self.space.variant,
            "added": sum(one.added for one in self.imported),
            "devices": [asdict(one) for one in self.imported],
            "left_out": self.left_out,
            "accuracies": [asdict(one) for one in self.accuracies],
        }


def import_tables(
    store: Store, space: Space, tables: Iterable[Table], warnings: Iterable[tuple[str, ...]] | None = None
) -> list[Imported]:
    """Append what the store does not have yet of each table, all tables or none. Values are not judged.

    Args:
        space: its name and network size are those of the values.
        warnings: to be reported with each table.

    Raises:
        UsageError: a device's name belongs to a profile.
    """
    rows, report, given = [], [], list(tables)
    said = list(warnings) if warnings is not None else [()] * len(given)
    for table, about in zip(given, said, strict=True):
        check_free(table.device)
        known = _known(store, space, table)
        new = {arch: value for arch, value in table.entries.items() if known.get(arch) != value}
        report.append(Imported(table.device, table.metric, len(table.entries), len(new), about))
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


def import_nasbench201(store: Store, data: Path, consent: Consent = Consent()) -> ImportReport:
    """Import the 19 devices' latency, the energy of the two that have it, and the accuracies on CIFAR-10.

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
    report = _import_published(store, space, tables, consent)
    errors = 100.0 - published.metrics["test_cifar10"].astype(np.float64)
    entries = dict(zip(published.archs, errors.tolist(), strict=True))
    table = _error_table("cifar10", f"{folder / 'metrics.npz'} (test accuracies)", entries)
    return replace(report, accuracies=import_tables(store, space, [table]))


def import_ofa(store: Store, data: Path, consent: Consent = Consent()) -> ImportReport:
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
    return _import_published(store, published.space, tables, consent)


def _import_published(store: Store, space: Space, tables: list[Table], consent: Consent) -> ImportReport:
    """Import the tables whose names are free: who has a board called like one of many wants the others."""
    left_out: dict[str, str] = {}
    for table in tables:
        try:
            _check_name(table.device, store, consent)
        except UsageError as error:
            left_out[table.device] = str(error)
    kept = [table for table in tables if table.device not in left_out]
    by_metric = {table.metric: Plausibility(space, table.metric) for table in kept}
    warnings = [_check_values(store, space, table, by_metric[table.metric], consent) for table in kept]
    return ImportReport(space, import_tables(store, space, kept, warnings), left_out)


def _check_name(name: str, store: Store, consent: Consent) -> None:
    check_free(name)
    if not consent.replace:
        check_hides_none(name, store)


def _check_values(
    store: Store, space: Space, table: Table, plausibility: Plausibility, consent: Consent
) -> tuple[str, ...]:
    """Warnings about a table. Raises UsageError when values cannot be right and nobody accepts that."""
    judgement = plausibility.judge(table.entries, _known(store, space, table))
    doubts = [f"{_place(table, doubt.arch)}: {doubt.text(table.unit)}" for doubt in judgement.doubts]
    if doubts and not consent.implausible:
        raise UsageError(_refusal(table, judgement, doubts))
    warnings = [f"{table.source}, {doubt}" for doubt in doubts]
    factor = max(judgement.off, 1 / judgement.off)
    if factor > _UNUSUAL:
        times = f"{float(f'{factor:.1g}'):g} times {'larger' if judgement.off > 1 else 'smaller'}"
        warnings.append(
            f"{table.source}: the values of {table.device} are about {times} than "
            f"{judgement.why}; see whether they are in {table.unit}"
        )
    return tuple(warnings)


def _place(table: Table, arch: str) -> str:
    return f"line {table.lines[arch]}" if arch in table.lines else arch


def _refusal(table: Table, judgement: Judgement, doubts: list[str]) -> str:
    count, low, high = judgement.believed
    more = f"; and {len(doubts) - _NAMED} more" if len(doubts) > _NAMED else ""
    hint = "correct them, or keep them with --accept-implausible"
    if judgement.by_stored:
        hint += f"; if what is stored is wrong: modnas-hw dataset remove --device {table.device}"
    return (
        f"{table.source}: {len(doubts)} of {len(table.entries)} values of {table.device} cannot be in "
        f"{table.unit} if the {count} others are, {low:.4g} to {high:.4g} {table.unit}, nearer to "
        f"{judgement.why}: {'; '.join(doubts[:_NAMED])}{more}; {hint}"
    )


# Published tables that `dataset import` knows, by name.
IMPORTERS: dict[str, Callable[[Store, Path, Consent], ImportReport]] = {
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
    store: Store,
    path: Path,
    device: str,
    space: Space,
    *,
    metric: str,
    unit: str | None,
    consent: Consent = Consent(),
) -> list[Imported]:
    """Import one file with the header `arch,value`; nothing of it is kept unless all of it is good.

    Raises UsageError naming the file and line of the first thing wrong, or the rows that cannot be right
    beside the others, beside other devices of the store, and for the networks' work.
    """
    known = get_metric(metric)
    # No other spelling: MJ would be a thousand million times as much as mJ.
    if unit is not None and unit not in (known.unit, known.suffix):
        raise UsageError(f"--unit {unit}: {known.name} is kept in {known.suffix}; convert the values first")
    if _NAME.fullmatch(device) is None:
        raise UsageError(
            f"--device {device!r} is no device name: letters, digits, _ . - and at most 64 of them"
        )
    _check_name(device, store, consent)
    rows = read_rows(path, space)
    entries = {arch: value for arch, (_, value) in rows.items()}
    lines = {arch: line for arch, (line, _) in rows.items()}
    # A file's name need not be text; the store keeps nothing else.
    source = os.fsencode(path.resolve()).decode("utf-8", "backslashreplace")
    table = Table(device, known.name, known.suffix, source, entries, lines)
    plausibility = Plausibility(space, known.name, _peers(store, space, table))
    return import_tables(store, space, [table], [_check_values(store, space, table, plausibility, consent)])


def import_accuracies(store: Store, path: Path, task: str, space: Space) -> list[Imported]:
    """Import the errors of networks on a task, in percent, from a file with the header `arch,value`.

    Raises UsageError naming the file and line, or the architecture, of the first thing wrong.
    """
    if task not in task_names():
        raise UsageError(f"no task {task!r}; known: {', '.join(task_names())}")
    source = os.fsencode(path.resolve()).decode("utf-8", "backslashreplace")
    return import_tables(store, space, [_error_table(task, source, read_values(path, space))])


def _error_table(task: str, source: str, errors: Mapping[str, float]) -> Table:
    for arch, error in errors.items():
        if not 0 <= error <= 100:
            raise UsageError(f"{source}: {arch}: {error:g} is no error in percent")
    return Table(accuracies_name(task), ERROR_METRIC, "%", source, errors)


def import_named(
    store: Store,
    what: str,
    *,
    source: Path | None,
    device: str | None,
    task: str | None = None,
    space: Space,
    metric: str,
    unit: str | None,
    consent: Consent = Consent(),
) -> ImportReport:
    """Import what `dataset import` was given: a benchmark's tables from a folder, a device's file, a task's.

    Args:
        what: one of `BENCHMARKS`, or a file with the header `arch,value`.
        source: the folder of a benchmark; with it `device`, `metric` and `unit` are the tables' own.
        device: what the file's values were measured on; or `task`: what they are the errors on, in percent.

    Raises UsageError as the importers do, and where it is neither the one nor the other.
    """
    known = ", ".join(BENCHMARKS)
    if source is not None:
        if what not in BENCHMARKS:
            raise UsageError(f"--from {source}: no published tables {what!r}; known: {known}")
        if (device, task) != (None, None):
            raise UsageError(f"--from {source} goes without --device and --task: the tables name theirs")
        return IMPORTERS[what](store, source, consent)
    if (device is None) == (task is None):
        raise UsageError(
            f"import of {what}: name its --device, or the --task that it has errors on, or for {known} the "
            "folder: --from"
        )
    if task is not None:
        return ImportReport(space, [], {}, import_accuracies(store, Path(what), task, space))
    assert device is not None
    found = import_csv(store, Path(what), device, space, metric=metric, unit=unit, consent=consent)
    return ImportReport(space, found, {})


def _peers(store: Store, space: Space, table: Table) -> list[dict[str, float]]:
    """What is known of the other devices, for networks of the same size."""
    measured = set(store.devices(space.name, space.variant)) - set(store.table_devices())
    names = measured | set(store.table_devices(space.name, space.variant))
    return [
        {arch.string: value for arch, value in device_values(store, name, space, table.metric).items()}
        for name in sorted(names - {table.device})
    ]
