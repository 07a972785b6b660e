"""`modnas-hw predictor`: fit, judge and ask the MetaPredictor."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import Annotated

import typer

from harness.cli.options import (
    DeviceOption,
    MeasuredDevicesOption,
    MetricOption,
    SeedOption,
    SetOption,
    SpaceOption,
    make_space,
)
from harness.cli.output import JsonOption, print_json, print_table, say
from harness.datasets import predictors
from harness.measure.arch_lists import select_architectures
from harness.store import Store

app = typer.Typer(help="The MetaPredictor.", no_args_is_help=True, rich_markup_mode=None)

HoldoutOption = Annotated[float, typer.Option("--holdout", min=0.05, max=0.9, help="Share kept for judging.")]
LimitOption = Annotated[
    int, typer.Option("--limit", min=10, help="Architectures of a device to fit to; more are drawn from.")
]


@app.command()
def train(
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    devices: MeasuredDevicesOption = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    holdout: HoldoutOption = 0.2,
    limit: LimitOption = 900,
    json_output: JsonOption = False,
) -> None:
    """Fit a MetaPredictor to what was measured, and judge one fitted without the holdout."""
    sized = make_space(space, settings)
    with Store() as store:
        tables = predictors.training_tables(store, sized, metric, devices, limit=limit, seed=seed)
    figures = predictors.judge_predictor(sized, metric, tables, holdout, seed)
    path = predictors.train_predictor(sized, metric, tables, seed)
    if json_output:
        print_json({"path": str(path), "metric": metric, "holdout": figures})
    else:
        _print_figures(figures)
        say(f"predictor written to {path}")


@app.command("evaluate")
def evaluate_command(
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    devices: MeasuredDevicesOption = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    holdout: HoldoutOption = 0.2,
    limit: LimitOption = 900,
    json_output: JsonOption = False,
) -> None:
    """Rank correlations and hit rate on measured architectures that the fit has not seen."""
    sized = make_space(space, settings)
    with Store() as store:
        tables = predictors.training_tables(store, sized, metric, devices, limit=limit, seed=seed)
    figures = predictors.judge_predictor(sized, metric, tables, holdout, seed)
    if json_output:
        print_json({"metric": metric, "holdout": figures})
    else:
        _print_figures(figures)


@app.command()
def predict(
    device: DeviceOption,
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    archs: Annotated[str, typer.Option("--archs", help="N, reference, all, or a FILE.")] = "reference",
    settings: SetOption = None,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Predict a metric with the trained MetaPredictor; the interval holds 90 % of true values."""
    sized = make_space(space, settings)
    chosen = select_architectures(archs, sized, seed)
    with Store() as store:
        found = predictors.predict(store, sized, metric, device, chosen)
    if json_output:
        print_json(asdict(found))
    else:
        print_table([astuple(one) for one in found.predictions], ["arch", metric, "lower", "upper"])


def _print_figures(figures: predictors.Figures) -> None:
    names = list(next(iter(figures.values())))
    print_table([(device, *values.values()) for device, values in figures.items()], ["held out", *names])
