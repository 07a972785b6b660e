"""`modnas-hw profile`: measure architectures on a device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Annotated, Any

import typer

from harness.arch_lists import select_architectures
from harness.cli.fleet import finish, run_fleet
from harness.cli.options import DevicesOption, SeedOption, SetOption, SpaceOption, make_metrics, make_space
from harness.cli.output import JsonOption, print_json, print_table, progress_bar, say
from harness.devices.profile import DeviceProfile
from harness.devices.registry import with_options
from harness.energy import EnergyModel
from harness.errors import DeviceUnavailableError, UsageError
from harness.failures import describe_failures, failure_text
from harness.fleet import DeviceStatus
from harness.profiling import ProfileReport, operator_rows, profile_device
from harness.repeatability import Repeatability, compare_sessions
from harness.store import Measurement, Store
from harness.tables.devices import measurable
from modnas.spaces import Architecture, Space


def profile(
    device: DevicesOption,
    space: SpaceOption = "nasbench201",
    archs: Annotated[str, typer.Option("--archs", help="N, reference, all, or a FILE.")] = "20",
    settings: SetOption = None,
    backend: Annotated[
        str | None, typer.Option("--backend", help="Instead of the profile's: onnxruntime, torch or tvm.")
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
    chosen = select_architectures(archs, sized, seed)
    retry_before = datetime.now(timezone.utc) if retry_failed else None
    with Store() as store:
        profiles = [measurable(name, store) for name in dict.fromkeys(device)]
        targets = [with_options(one, backend, quantize, per_op).rested(cooldown_s) for one in profiles]
        models = [EnergyModel.named(energy_model, one, tdp_w) if energy_model else None for one in targets]
        if len(targets) > 1:
            if per_op or sessions > 1:
                raise UsageError("--per-op and --sessions work with one --device")
            statuses = run_fleet(
                targets, sized, chosen, store, seed, energy="energy" in wanted, retry_before=retry_before
            )
            if json_output:
                pairs = zip(statuses, models, strict=True)
                print_json({"devices": [_fleet_entry(one, sized, wanted, model) for one, model in pairs]})
            finish(statuses)
            return
        asked: dict[str, Any] = {"energy": "energy" in wanted, "per_op": per_op}
        report = run_profile(targets[0], sized, chosen, store, seed, retry_before=retry_before, **asked)
        compared: list[Repeatability] = []
        for session in range(1, sessions):
            before = report.rows
            report = run_profile(targets[0], sized, chosen, store, seed + session, fresh=True, **asked)
            compared.append(compare_sessions(before, report.rows))
            say(f"{report.device}: {compared[-1]}")
    if json_output:
        repeated = {"repeatability": [asdict(one) for one in compared]} if compared else {}
        print_json({**_document(report, sized, wanted, models[0]), **repeated})
    else:
        _print_rows(report, wanted, models[0])
        if per_op:
            print_table(operator_rows(report.rows), ["operator", "mean count", "mean ms", "share"])
    if report.failed:
        raise typer.Exit(1)


def _fleet_entry(
    status: DeviceStatus, space: Space, metrics: frozenset[str], model: EnergyModel | None
) -> dict[str, Any]:
    report = status.report
    measured = _document(report, space, metrics, model) if report else {"device": status.device}
    return {**measured, "state": status.state, "error": status.error}


def run_profile(
    target: DeviceProfile,
    space: Space,
    chosen: list[Architecture],
    store: Store,
    seed: int,
    *,
    energy: bool = False,
    per_op: bool = False,
    fresh: bool = False,
    retry_before: datetime | None = None,
) -> ProfileReport:
    """`profile_device` with a progress bar and a closing line."""
    with progress_bar("arch") as bar:
        task = bar.add_task(f"measuring on {target.id}", total=None, rate="-", note="")
        began = time.monotonic()
        measured: list[Measurement] = []

        def on_start(missing: int, reused: int) -> None:
            bar.update(task, total=missing, note=f"({reused} in the store)")

        def on_row(row: Measurement, report: ProfileReport) -> None:
            measured.append(row)
            rate = report.measured / (time.monotonic() - began)
            note = f"{row.latency_ms:.4g} ms" if row.latency_ms is not None else f"{row.reason}"
            bar.update(task, completed=report.measured, rate=f"{rate:.2f}", note=note)

        try:
            report = profile_device(
                target,
                space,
                chosen,
                store,
                seed=seed,
                energy=energy,
                per_op=per_op,
                fresh=fresh,
                retry_before=retry_before,
                on_start=on_start,
                on_row=on_row,
            )
        except DeviceUnavailableError as error:
            if not measured:
                raise
            mend = f"{len(measured)} measured before are kept, the same command goes on from there"
            raise DeviceUnavailableError(f"{error}; {mend}") from error
    say(summary(report))
    for block in report.blocks:
        if block.again or not block.settled:
            say(f"{report.device}: {block}")
    if report.energy_note:
        say(f"{report.device}: {report.energy_note}")
    return report


def summary(report: ProfileReport) -> str:
    """One line: what was measured, what was reused, what failed, how fast, how exact."""
    parts = [f"{report.device}: measured {report.measured}, reused {report.reused} from the store"]
    if report.measured:
        parts.append(
            f"{report.measured / report.seconds:.2f} architectures/s "
            f"({report.window_s / report.seconds:.0%} of the time measuring, "
            f"{report.export_s / report.seconds:.0%} exporting)"
        )
    if report.repeated:
        parts.append(f"{report.repeated} measured again after drift or a disturbance")
    if report.max_abs_diff is not None:
        parts.append(f"largest output difference from PyTorch {report.max_abs_diff:.1e}")
    tuned = [row.record["build"]["tuned"] for row in report.rows if "tuned" in row.record.get("build", {})]
    if tuned:
        parts.append("tuned" if all(tuned) else f"untuned: {tuned.count(False)} (modnas-hw tune mends that)")
    failures = describe_failures(report.rows, report.failed_reused)
    if failures:
        parts.append(failures)
    warned = sum(bool(row.record.get("warnings")) for row in report.rows)
    if warned:
        parts.append(f"{warned} with warnings")
    return "; ".join(parts)


def _print_rows(report: ProfileReport, metrics: frozenset[str], model: EnergyModel | None) -> None:
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
    if report.failed:
        columns["failure"] = failure_text
    print_table([[cell(row) for cell in columns.values()] for row in report.rows], list(columns))


def _document(
    report: ProfileReport, space: Space, metrics: frozenset[str], model: EnergyModel | None
) -> dict[str, Any]:
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
