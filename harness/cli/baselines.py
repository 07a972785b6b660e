"""`modnas-hw baselines`: other methods on the published tables."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.bench.baselines import run_baselines, summarise
from harness.bench.rows import Row
from harness.cli.options import SpaceOption
from harness.cli.output import JsonOption, print_json, print_table, progress_bar, say
from harness.core.errors import UsageError
from harness.datasets import nasbench201
from harness.datasets.nasbench201_quality import DATASETS
from modnas.baselines import method_names


def baselines(
    data: Annotated[Path, typer.Option("--data", help="Folder of the published tables (it holds nb201/).")],
    method: Annotated[
        str, typer.Option("--method", help=f"Some of {','.join(method_names())}, separated by commas.")
    ] = "rs,rhpn,help,nsga2,re,ls",
    space: SpaceOption = "nasbench201",
    devices: Annotated[
        str, typer.Option("--devices", help="Devices of the tables, separated by commas, or all.")
    ] = "all",
    dataset: Annotated[str, typer.Option("--dataset", help=f"One of {', '.join(DATASETS)}.")] = "cifar10",
    budget: Annotated[int, typer.Option("--budget", help="True evaluations a run.")] = 24,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs a method and device.")] = 1,
    json_output: JsonOption = False,
) -> None:
    """Compare methods by hypervolume relative to the exact front, at a number of true evaluations."""
    if space != "nasbench201":
        raise UsageError(f"the published tables of space {space!r} have no exact front; use nasbench201")
    tables = nasbench201.load(data)
    names = list(tables.latency_ms) if devices == "all" else _split(devices)
    methods = _split(method)
    with progress_bar("run") as bar:
        task = bar.add_task("baselines", total=len(methods) * len(names) * seeds, rate="-", note="")

        def on_row(row: Row) -> None:
            bar.update(task, advance=1, note=f"{row.method} on {row.device}: {row.value:.3f}")

        report = run_baselines(
            tables, methods, names, dataset=dataset, budget=budget, seeds=seeds, on_row=on_row
        )
    if json_output:
        print_json({"space": space, "dataset": dataset, **asdict(report)})
    else:
        summary = summarise(report.rows)
        print_table([list(entry.values()) for entry in summary], list(summary[0]) if summary else [])
    for name, reason in report.failures.items():
        say(f"{name}: {reason}")
    if report.failures:
        raise typer.Exit(1)


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
