"""`modnas-hw benchmark`: the paper's experiments on published tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.output import JsonOption, print_json, print_table, say

if TYPE_CHECKING:
    from harness.bench.rows import Row

benchmark_app = typer.Typer(
    help="The paper's experiments on published tables.", no_args_is_help=True, rich_markup_mode=None
)

DataOption = Annotated[Path, typer.Option("--data", help="Folder that holds nb201/.")]
_EXPERIMENTS = (
    "main, predictor, schemes, estimators, constraints, three-objectives, device-fraction, costs or budgets."
)
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for the plots and rows.")]
ExperimentOption = Annotated[str, typer.Option("--experiment", help=_EXPERIMENTS)]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="Runs, with seeds 0, 1, ...")]


def _show(rows: Sequence[Row], json_output: bool) -> None:
    from harness.bench.rows import summary

    if json_output:
        print_json({"rows": [asdict(row) for row in rows]})
    else:
        print_table(summary(rows), ["method", "metric", "devices", "mean", "min", "max", "figures"])


@benchmark_app.command("nasbench201")
def nasbench201(
    data: DataOption,
    experiment: ExperimentOption = "main",
    seeds: SeedsOption = 1,
    out: OutOption = None,
    json_output: JsonOption = False,
) -> None:
    """Search on 13 devices and judge on 6 unseen ones, all from tables of 15,625 cells."""
    from harness.bench import nasbench201 as benchmark

    report = benchmark.run(data, experiment, seeds, out)
    if json_output:
        print_json(asdict(report))
        return
    _show(report.rows, json_output)
    for claim in report.claims:
        say(f"{claim.verdict}: {claim.text} ({claim.figures})")
    if out is not None:
        say(f"plots: {out / experiment}.html")


@benchmark_app.command("hat")
def hat(
    data: Annotated[Path, typer.Option("--data", help="Folder that holds hat/.")],
    experiment: Annotated[str, typer.Option("--experiment", help="main, predictor or all.")] = "all",
    seeds: SeedsOption = 1,
    json_output: JsonOption = False,
) -> None:
    """Transformers on 2 search devices and 1 unseen, from HAT's latency tables and published networks."""
    from harness.bench import hat as benchmark

    rows = benchmark.run(data, experiment, seeds)
    _show(rows, json_output)


@benchmark_app.command("fbnet")
def fbnet(
    data: Annotated[Path, typer.Option("--data", help="Folder that holds fbnet/.")],
    experiment: Annotated[str, typer.Option("--experiment", help="predictor.")] = "predictor",
    seeds: SeedsOption = 1,
    json_output: JsonOption = False,
) -> None:
    """Predict latencies on unseen devices of seven splits; needs the package in examples/fbnet."""
    from harness.bench import fbnet as benchmark

    _show(benchmark.run(data, experiment, seeds), json_output)


_OFA_EXPERIMENTS = "main, predictor, constraints or published."


@benchmark_app.command("ofa")
def ofa(
    data: Annotated[Path, typer.Option("--data", help="Folder that holds ofa/.")],
    experiment: Annotated[str, typer.Option("--experiment", help=_OFA_EXPERIMENTS)] = "main",
    seeds: SeedsOption = 1,
    out: OutOption = None,
    json_output: JsonOption = False,
) -> None:
    """Search once-for-all networks on 11 devices and judge on those and an unseen one."""
    from harness.bench import ofa as benchmark

    rows = benchmark.run(data, experiment, seeds, out)
    _show(rows, json_output)
    if out is not None:
        say(f"plots: {out / experiment}.html")
