"""Verification of a table device: what was found is looked up instead of measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from harness.core.errors import UsageError
from harness.datasets.training_sets import device_features, device_values
from harness.devices.table import StoredTable, stored_table
from harness.measure.reports import ProfileReport
from harness.runs.run import RunConfig
from harness.store import Measurement, Store
from harness.store.metrics import LOOKED_UP, HardwareMetric
from modnas.spaces import Architecture, Space


def check_searchable(config: RunConfig, space: Space, store: Store, device: str) -> None:
    """Raise an error in one line when a table device cannot take part in a search.

    Raises:
        DatasetError: a reference architecture has no value.
        UsageError: the references are all it has; a predictor for the search cannot be judged on them.
    """
    for metric in config.objectives:
        if metric == "error":
            continue
        device_features(store, device, space, metric)
        if len(device_values(store, device, space, metric)) < len(space.references) + 10:
            raise UsageError(
                f"device {device}: its table of {metric} has too little beside the reference architectures "
                "to search on; search on other devices, and ask for its front with: "
                f"modnas-hw front --run NAME --device {device}"
            )


def look_up(
    store: Store,
    device: str,
    space: Space,
    metrics: Sequence[HardwareMetric],
    architectures: Sequence[Architecture],
) -> ProfileReport:
    """The table's values in the form in which a measurable device answers: one row an architecture.

    The rows are made for this answer and not stored. An architecture that lacks one of the metrics is a
    failure with its reason. Raises UsageError when the device is no table device.
    """
    tables: dict[str, StoredTable] = {}
    for metric in metrics:
        table = stored_table(store, device, space, metric.name)
        if table is None:
            raise UsageError(f"device {device} is no imported table")
        tables[metric.name] = table
    rows = [_row(device, space, tables, architecture) for architecture in dict.fromkeys(architectures)]
    failed = sum(row.status != "ok" for row in rows)
    return ProfileReport(device, rows=rows, failed=failed, reused=len(rows) - failed)


def _row(
    device: str, space: Space, tables: dict[str, StoredTable], architecture: Architecture
) -> Measurement:
    found = {metric: table.values.get(architecture.string) for metric, table in tables.items()}
    missing = [metric for metric, value in found.items() if value is None]
    return Measurement(
        key="",
        space=space.name,
        variant=next(iter(tables.values())).variant,
        arch=architecture.string,
        device=device,
        fingerprint="",
        batch=1,
        backend="table",
        status="error" if missing else "ok",
        reason="table" if missing else None,
        message=f"the table has no {', '.join(missing)} of it" if missing else None,
        artifact_sha256="",
        created_at=datetime.now(timezone.utc),
        request={},
        record={"source": "table", LOOKED_UP: found},
    )
