"""`modnas-hw profile`: measure architectures on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from harness.backends import backend_names
from harness.cli.fleet import FleetTable, finish, tell_troubles
from harness.cli.options import DevicesOption, SeedOption, SetOption, SpaceOption, make_metrics, make_space
from harness.cli.output import JsonOption, Shown, print_json, print_table
from harness.devices.energy import EnergyModel
from harness.measure.failures import failure_text
from harness.measure.profile_devices import Profiled
from harness.measure.profiling import operator_rows
from harness.public import profile as measure
from harness.store import Measurement
from modnas.spaces import Space


def profile(
    device: DevicesOption,
    space: SpaceOption = "nasbench201",
    archs: Annotated[str, typer.Option("--archs", help="N, reference, all, or a FILE.")] = "20",
    settings: SetOption = None,
    backend: Annotated[
        str | None,
        typer.Option("--backend", help=f"Instead of the profile's: {', '.join(backend_names())}."),
    ] = None,
    quantize: Annotated[
        str | None, typer.Option("--quantize", help="int8: networks in 8 bits (onnxruntime).")
    ] = None,
    per_op: Annotated[
        bool, typer.Option("--per-op", help="Also the time of every kind of operator (onnxruntime).")
    ] = False,
    sessions: Annotated[
        int, typer.Option("--sessions", min=1, help="2: measure everything again, and compare.")
    ] = 1,
    cooldown_s: Annotated[
        float | None, typer.Option("--cooldown", min=0, help="Seconds of rest before each measurement.")
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Measure stored failures again, but wrong outputs."),
    ] = False,
    seed: SeedOption = 0,
    metrics: Annotated[
        str, typer.Option("--metrics", help="Of latency (always measured), energy, memory.")
    ] = "latency,memory",
    energy_model: Annotated[
        str | None, typer.Option("--energy-model", help="tdp: add a modelled energy, marked as such.")
    ] = None,
    tdp_w: Annotated[
        float | None, typer.Option("--tdp-w", min=0.001, help="Thermal design power in watts for the model.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Measure architectures on a device; what the store already has is not measured again."""
    sized, wanted = make_space(space, settings), make_metrics(metrics)
    with FleetTable() as table:
        found = measure(
            archs,
            device,
            space=sized,
            backend=backend,
            quantize=quantize,
            per_op=per_op,
            sessions=sessions,
            cooldown_s=cooldown_s,
            retry_failed=retry_failed,
            energy="energy" in wanted,
            energy_model=energy_model,
            tdp_w=tdp_w,
            seed=seed,
            progress=Shown(),
            on_status=table.show,
        )
    if len(found) > 1:
        _show_fleet(found, sized, wanted, json_output)
    else:
        _show_one(found[0], sized, wanted, per_op, json_output)


def _show_fleet(found: list[Profiled], space: Space, metrics: frozenset[str], json_output: bool) -> None:
    tell_troubles(found)
    if json_output:
        print_json({"devices": [_fleet_entry(one, space, metrics) for one in found]})
    finish(found)


def _show_one(one: Profiled, space: Space, metrics: frozenset[str], per_op: bool, json_output: bool) -> None:
    if json_output:
        repeated = {"repeatability": [asdict(r) for r in one.repeatability]} if one.repeatability else {}
        print_json({**_document(one, space, metrics), **repeated})
    else:
        _print_rows(one, metrics)
        if per_op:
            print_table(operator_rows(one.rows), ["operator", "mean count", "mean ms", "share"])
    if one.report and one.report.failed:
        raise typer.Exit(1)


def _fleet_entry(one: Profiled, space: Space, metrics: frozenset[str]) -> dict[str, Any]:
    return {**_document(one, space, metrics), "state": one.state, "error": one.error}


def _print_rows(one: Profiled, metrics: frozenset[str]) -> None:
    model = one.energy_model
    columns: dict[str, Callable[[Measurement], Any]] = {
        "architecture": lambda row: row.arch,
        "status": lambda row: row.status,
        "median ms": lambda row: row.latency_ms,
        "p90 ms": lambda row: row.latency_p90_ms,
    }
    if "energy" in metrics:
        columns["energy mJ"] = lambda row: row.energy_mj
    if model is not None:
        columns[f"modelled mJ (TDP {model.tdp_w:g} W)"] = model.energy_mj
    if any(row.status != "ok" for row in one.rows):
        columns["failure"] = failure_text
    print_table([[cell(row) for cell in columns.values()] for row in one.rows], list(columns))


def _document(one: Profiled, space: Space, metrics: frozenset[str]) -> dict[str, Any]:
    report, model = one.report, one.energy_model
    if report is None:
        return {"device": one.device}
    energy: dict[str, Any] = {}
    if report.energy is not None:
        energy["energy"] = {"sensor": report.energy.sensor, "note": report.energy_note}
    if model is not None:
        energy["energy_model"] = {"name": model.name, "tdp_w": model.tdp_w}
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
        "max_abs_diff": report.max_abs_diff,
        **energy,
        "blocks": [asdict(block) for block in report.blocks],
        "measurements": [_entry(row, metrics, model) for row in report.rows],
    }


def _entry(row: Measurement, metrics: frozenset[str], model: EnergyModel | None) -> dict[str, Any]:
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
    optional = {
        "energy_mj": row.energy_mj if "energy" in metrics else None,
        "energy": row.record.get("energy") if "energy" in metrics else None,
        "energy_mj_modelled": model.energy_mj(row) if model is not None else None,
        "memory_mb": row.memory_mb if "memory" in metrics else None,
        "max_abs_diff": row.max_abs_diff,
        "per_op": row.record.get("per_op"),
        "tuned": (row.record.get("build") or {}).get("tuned"),
    }
    entry.update({key: value for key, value in optional.items() if value is not None})
    entry["artifact_sha256"] = row.artifact_sha256
    entry["warnings"] = row.record.get("warnings") or []
    return entry
