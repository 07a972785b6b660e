"""`modnas-hw profile`: measure architectures on a device."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from harness.arch_lists import select_architectures
from harness.cli.fleet import finish, run_fleet
from harness.cli.options import DevicesOption, SeedOption, SetOption, SpaceOption, make_space
from harness.cli.output import JsonOption, print_json, print_table, progress_bar, say
from harness.devices.profile import DeviceProfile
from harness.devices.registry import get_profile
from harness.errors import DeviceUnavailableError
from harness.fleet import DeviceStatus
from harness.profiling import ProfileReport, profile_device
from harness.store import Measurement, Store
from modnas.spaces import Architecture, Space


def profile(
    device: DevicesOption,
    space: SpaceOption = "nasbench201",
    archs: Annotated[str, typer.Option("--archs", help="N, reference, all, or a FILE.")] = "20",
    settings: SetOption = None,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Measure architectures on a device; what the store already has is not measured again."""
    targets, sized = [get_profile(name) for name in dict.fromkeys(device)], make_space(space, settings)
    chosen = select_architectures(archs, sized, seed)
    if len(targets) > 1:
        with Store() as store:
            statuses = run_fleet(targets, sized, chosen, store, seed)
        if json_output:
            print_json({"devices": [_fleet_entry(status, sized) for status in statuses]})
        finish(statuses)
        return
    with Store() as store:
        report = run_profile(targets[0], sized, chosen, store, seed)
    if json_output:
        print_json(_document(report, sized))
    else:
        rows = [(r.arch, r.status, r.latency_ms, r.latency_p90_ms, r.reason) for r in report.rows]
        print_table(rows, ["architecture", "status", "median ms", "p90 ms", "reason"])
    if report.failed:
        raise typer.Exit(1)


def _fleet_entry(status: DeviceStatus, space: Space) -> dict[str, Any]:
    measured = _document(status.report, space) if status.report else {"device": status.device}
    return {**measured, "state": status.state, "error": status.error}


def run_profile(
    target: DeviceProfile, space: Space, chosen: list[Architecture], store: Store, seed: int
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
            report = profile_device(target, space, chosen, store, seed=seed, on_start=on_start, on_row=on_row)
        except DeviceUnavailableError as error:
            if not measured:
                raise
            mend = f"{len(measured)} measured before are kept, the same command goes on from there"
            raise DeviceUnavailableError(f"{error}; {mend}") from error
    say(summary(report))
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
    if report.max_abs_diff is not None:
        parts.append(f"largest output difference from PyTorch {report.max_abs_diff:.1e}")
    if report.failed:
        parts.append(f"{report.failed} failed")
    warned = sum(bool(row.record.get("warnings")) for row in report.rows)
    if warned:
        parts.append(f"{warned} with warnings")
    return "; ".join(parts)


def _document(report: ProfileReport, space: Space) -> dict[str, Any]:
    return {
        "device": report.device,
        "space": space.name,
        "variant": space.variant,
        "measured": report.measured,
        "reused": report.reused,
        "failed": report.failed,
        "seconds": report.seconds,
        "max_abs_diff": report.max_abs_diff,
        "measurements": [_entry(row) for row in report.rows],
    }


def _entry(row: Measurement) -> dict[str, Any]:
    entry: dict[str, Any] = {"arch": f"{row.space}:{row.arch}", "status": row.status}
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
        "energy_mj": row.energy_mj,
        "memory_mb": row.memory_mb,
        "max_abs_diff": row.max_abs_diff,
    }
    entry.update({key: value for key, value in optional.items() if value is not None})
    entry["artifact_sha256"] = row.artifact_sha256
    entry["warnings"] = row.record.get("warnings") or []
    return entry
