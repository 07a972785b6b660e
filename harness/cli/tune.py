"""`modnas-hw tune`: TVM schedules for the operators of a space on a device."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import DeviceOption, SeedOption, SetOption, SpaceOption, make_space
from harness.cli.output import JsonOption, print_json, say
from harness.devices.table import measurable
from harness.measure.tuning import TuningReport, tune
from harness.store import Store


def tune_command(
    device: DeviceOption,
    space: SpaceOption = "nasbench201",
    trials: Annotated[int, typer.Option("--trials", min=1, help="Schedules to try of each operator.")] = 16,
    limit_s: Annotated[
        float | None, typer.Option("--time", min=0, help="Seconds; the same command continues later.")
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Tune TVM for a device: every distinct operator of a space once. Can be stopped and continued."""
    with Store() as store:
        target = measurable(device, store).changed("tvm")
    sized = make_space(space, settings)
    report = tune(target, sized, trials, seed=seed, limit_s=limit_s, on_task=_say_task)
    say(
        f"{report.device}: {len(report.tasks)} operators, {report.tuned} tuned in {report.seconds:.0f} s "
        f"({report.trials} schedules), {report.reused} before; "
        f"{len(report.failed)} failed, {report.left} left"
    )
    if json_output:
        print_json(_document(report))
    if report.failed:
        raise typer.Exit(1)


def _say_task(name: str, report: TuningReport) -> None:
    done = report.tuned + report.reused + len(report.failed)
    say(f"{done}/{len(report.tasks)} {name}")


def _document(report: TuningReport) -> dict[str, object]:
    return {
        "device": report.device,
        "target": report.target,
        "database": str(report.folder),
        "operators": len(report.tasks),
        "tuned": report.tuned,
        "reused": report.reused,
        "left": report.left,
        "trials": report.trials,
        "seconds": report.seconds,
        "failed": [{"operator": report.tasks[key], "message": why} for key, why in report.failed.items()],
        "best_ms": {report.tasks[key]: value for key, value in report.best_ms.items()},
    }
