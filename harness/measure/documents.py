"""What was measured on a device, as JSON: what `profile --json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeAlias

from harness.devices.energy import EnergyModel
from harness.measure.profile_devices import Profiled
from harness.store import Measurement
from harness.store.metrics import ENERGY, LATENCY, PEAK_MEMORY, HardwareMetric, read
from modnas.spaces import Space

# Those that were asked for.
Metrics: TypeAlias = tuple[HardwareMetric, ...]


def devices_document(found: list[Profiled], space: Space, metrics: Metrics) -> dict[str, Any]:
    """Of several devices, with how each of them ended."""
    return {
        "devices": [
            {**device_document(one, space, metrics), "state": one.state, "error": one.error} for one in found
        ]
    }


def device_document(one: Profiled, space: Space, metrics: Metrics) -> dict[str, Any]:
    """Of one device; only its name where it did not come to its end."""
    report, model = one.report, one.energy_model
    if report is None:
        return {"device": one.device}
    figures = report.figures()
    energy: dict[str, Any] = {}
    if report.energy is not None:
        energy["energy"] = {"sensor": report.energy.sensor, "note": figures.energy_note}
    if model is not None:
        energy["energy_model"] = {"name": model.name, "tdp_w": model.tdp_w}
    repeated = {"repeatability": [asdict(r) for r in one.repeatability]} if one.repeatability else {}
    return {
        "device": report.device,
        "space": space.name,
        "variant": space.variant,
        "measured": report.measured,
        "repeated": report.repeated,
        "reused": report.reused,
        "failed": report.failed,
        "failed_reused": report.failed_reused,
        "seconds": report.seconds,
        "window_s": report.window_s,
        "export_s": report.export_s,
        "max_abs_diff": figures.max_abs_diff,
        **energy,
        "blocks": [asdict(block) for block in report.blocks],
        "measurements": [measurement_document(row, metrics, model) for row in report.rows],
        **repeated,
    }


def measurement_document(row: Measurement, metrics: Metrics, model: EnergyModel | None) -> dict[str, Any]:
    """Of one architecture: its figures, or why it has none. A value that was not measured is absent."""
    entry: dict[str, Any] = {"arch": f"{row.space}:{row.arch}", "backend": row.backend, "status": row.status}
    if row.status != "ok":
        return {**entry, "reason": row.reason, "message": row.message}
    entry["latency_ms"] = {
        "median": row.latency_ms,
        "p10": row.latency_p10_ms,
        "p90": row.latency_p90_ms,
        "ci_low": row.latency_ci_low_ms,
        "ci_high": row.latency_ci_high_ms,
        "n": row.latency_n,
    }
    readings = {metric.key: read(metric, row) for metric in metrics if metric is not LATENCY}
    optional = {
        **{key: found.value for key, found in readings.items()},
        "absent": {key: found.reason for key, found in readings.items() if found.value is None} or None,
        "energy": row.record.get("energy") if ENERGY in metrics else None,
        "energy_mj_modelled": model.energy_mj(row) if model is not None else None,
        "memory_mb": row.memory_mb if PEAK_MEMORY in metrics else None,
        "max_abs_diff": row.max_abs_diff,
        "per_op": row.record.get("per_op"),
        "tuned": (row.record.get("build") or {}).get("tuned"),
    }
    entry.update({key: value for key, value in optional.items() if value is not None})
    entry["artifact_sha256"] = row.artifact_sha256
    entry["warnings"] = row.record.get("warnings") or []
    return entry
