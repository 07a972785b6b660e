"""`modnas-hw profile`: measure architectures on a device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from harness.backends import backend_names
from harness.cli.fleet import FleetTable, finish, none_left, tell_troubles
from harness.cli.options import (
    DevicesOption,
    MetricsOption,
    SeedOption,
    SetOption,
    SpaceOption,
    make_metrics,
    make_space,
)
from harness.cli.output import JsonOption, Shown, error_document, print_json, print_table
from harness.core.errors import UsageError
from harness.measure.documents import Metrics, device_document, devices_document
from harness.measure.failures import failure_text
from harness.measure.profile_devices import Profiled
from harness.measure.profiling import operator_rows
from harness.public import profile as measure
from harness.store import Measurement
from harness.store.metrics import LATENCY, value_of
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
        float | None,
        typer.Option("--cooldown", min=0, max=86_400, help="Seconds of rest before each one."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Measure stored failures again, but wrong outputs."),
    ] = False,
    seed: SeedOption = 0,
    metrics: MetricsOption = "latency,peak_memory",
    energy_model: Annotated[
        str | None, typer.Option("--energy-model", help="tdp: add a modelled energy, marked as such.")
    ] = None,
    tdp_w: Annotated[
        float | None, typer.Option("--tdp-w", min=0.001, help="Thermal design power in watts for the model.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Measure architectures on a device; what the store already has is not measured again."""
    if tdp_w is not None and energy_model is None:
        raise UsageError(f"--tdp-w {tdp_w:g}: it is a model's; give --energy-model tdp too")
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
            metrics=[metric.name for metric in wanted],
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


def _show_fleet(found: list[Profiled], space: Space, metrics: Metrics, json_output: bool) -> None:
    tell_troubles(found)
    failure = none_left(found)
    if json_output:
        error = error_document(failure.code, str(failure)) if failure else {}
        print_json({**devices_document(found, space, metrics), **error})
    finish(found)


def _show_one(one: Profiled, space: Space, metrics: Metrics, per_op: bool, json_output: bool) -> None:
    if json_output:
        print_json(device_document(one, space, metrics))
    else:
        _print_rows(one, metrics)
        if per_op:
            print_table(operator_rows(one.rows), ["operator", "mean count", "mean ms", "share"])
    if one.report and one.report.failed:
        raise typer.Exit(1)


def _print_rows(one: Profiled, metrics: Metrics) -> None:
    model = one.energy_model
    columns: dict[str, Callable[[Measurement], Any]] = {
        "architecture": lambda row: row.arch,
        "status": lambda row: row.status,
        "median ms": lambda row: row.latency_ms,
        "p90 ms": lambda row: row.latency_p90_ms,
    }
    for metric in metrics:
        if metric is not LATENCY:
            columns[metric.title] = partial(value_of, metric)
    if model is not None:
        columns[f"modelled mJ (TDP {model.tdp_w:g} W)"] = model.energy_mj
    if one.report and one.report.failed:
        columns["failure"] = failure_text
    print_table([[cell(row) for cell in columns.values()] for row in one.rows], list(columns))
