"""`report.html` of a run: one file that needs no network."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.report import figures
from harness.report.page import write_page
from harness.runs.predictors import hardware_metrics
from harness.runs.run import Run
from harness.store import Measurement, Store
from harness.store.metrics import HardwareMetric

PACKAGES = ("modnas-hw", "torch", "onnx", "onnxruntime", "numpy")


def write_report(run: Run, store: Store) -> Path:
    """Write the report from what the run has so far; its path. Raises UsageError before there is a front."""
    fronts: dict[str, Any] = run.read_json("front.json")
    verified = run.read_json("verification.json") if run.has("verification.json") else {}
    tables = fronts.get("tables", {})
    metrics = hardware_metrics(run)
    epochs = run.read_json("epochs.json") if run.has("epochs.json") else []

    def stored(device: str) -> dict[str, Measurement]:
        return _newest(store.device_measurements(device, fronts["space"], fronts["variant"]))

    return write_page(
        run.path / "report.html",
        "report.html.j2",
        title=run.name,
        metrics=metrics,
        config=run.config,
        predictor=run.read_json("predictor.json"),
        best_epoch=fronts["best_epoch"],
        reading=fronts.get("reading"),
        rounds=fronts.get("in_the_loop", []),
        curves=[draw(epochs) for draw in (figures.curves_figure, figures.loss_figure) if epochs],
        devices=[
            _device(
                name,
                verified.get(name) or {"architectures": entries},
                {} if name in tables else stored(name),
                tables.get(name),
                metrics,
            )
            for name, entries in fronts["devices"].items()
        ],
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        written=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _device(
    name: str,
    result: dict[str, Any],
    rows: dict[str, Measurement],
    table: dict[str, Any] | None,
    metrics: Sequence[HardwareMetric],
) -> dict[str, Any]:
    """Everything the template shows of one device; `result` is its verification, or the bare front.

    `table`: where the values come from if nothing was measured here.
    """
    found = result["architectures"]
    verified = "random" in result
    samples = {e["arch"].partition(":")[2]: _samples(rows.get(e["arch"].partition(":")[2])) for e in found}
    samples = {arch: values for arch, values in samples.items() if values}
    shown = []
    for metric in metrics:
        shown.append(figures.front_figure(found, result.get("random", []), metric))
        if verified:
            shown.append(figures.agreement_figure(found, metric))
    if samples:
        shown.append(figures.distribution_figure(samples))
    any_row = next(iter(rows.values()), None)
    measured = {e["arch"]: e.get("measured", {}) for e in found}
    return {
        "name": name,
        "entries": found,
        "verified": result if verified else None,
        "figures": shown,
        "provenance": _provenance(any_row) if any_row else _table_provenance(table),
        "warnings": {arch: seen["warnings"] for arch, seen in measured.items() if seen.get("warnings")},
    }


def _newest(rows: list[Measurement]) -> dict[str, Measurement]:
    return {row.arch: row for row in rows if row.status == "ok"}


def _samples(row: Measurement | None) -> list[float]:
    latency = (row.record.get("latency") or {}) if row else {}
    return list(latency.get("samples_ms") or latency.get("quantiles_ms") or [])


def _table_provenance(table: dict[str, Any] | None) -> dict[str, Any]:
    if table is None:
        return {}
    return {
        "source": "imported table, not measured here",
        "size of the networks in the table": table["variant"],
        "files": ", ".join(table["files"]),
    }


def _provenance(row: Measurement) -> dict[str, Any]:
    inventory = row.request.get("inventory") or {}
    return {
        "fingerprint": row.fingerprint,
        "backend": f"{row.backend} {row.request.get('runtime_version')}",
        "options": row.request.get("options"),
        "protocol": row.request.get("protocol"),
        "batch size": row.batch,
        "agent": row.request.get("agent_version"),
        "machine": inventory.get("machine"),
        "cpu": inventory.get("cpu"),
        "memory, MB": inventory.get("memory_mb"),
        "system": inventory.get("os"),
        "governor": inventory.get("governor"),
        "sensors": inventory.get("sensors"),
    }
