"""`modnas-hw search`, `front`, `verify` and `report`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from harness.cli.options import DeviceOption, SeedOption
from harness.cli.output import JsonOption, Shown, print_json, print_table, say
from harness.core.errors import UsageError
from harness.runs.results import FrontEntry, Verification
from harness.store.metrics import get_metrics
from harness.study import Study
from modnas.tasks import task_names

RunOption = Annotated[str, typer.Option("--run", help="Name or folder of a run.")]


def search(
    devices: Annotated[str, typer.Option("--devices", help="Devices, separated by commas.")],
    space: Annotated[str, typer.Option("--space", help="Search space.")] = "nasbench201",
    task: Annotated[str, typer.Option("--task", help=f"One of {', '.join(task_names())}.")] = "digits",
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of the task's files.")] = None,
    preset: Annotated[
        str,
        typer.Option("--preset", help="Sizes and times: quick, small or paper, as the space has them."),
    ] = "quick",
    name: Annotated[str | None, typer.Option("--run", help="Name of the run.")] = None,
    seed: SeedOption = 0,
    objectives: Annotated[
        str,
        typer.Option("--objectives", help="error and metrics: error,latency or error,latency,peak_memory."),
    ] = "error,latency",
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", help="Below it a metric is good enough: latency=0.2 (0 to 1)."),
    ] = None,
    scheme: Annotated[str | None, typer.Option("--scheme", help="mgd, mean, sequential or sample.")] = None,
    estimator: Annotated[str | None, typer.Option("--estimator", help="reinmax or gdas.")] = None,
    accuracy: Annotated[
        str,
        typer.Option(
            "--accuracy",
            help="supernet, or a model fitted on networks: surrogate, which are trained, published ones, or "
            "what another package offers.",
        ),
    ] = "supernet",
    evaluations: Annotated[
        int, typer.Option("--evaluations", help="Networks evaluated to fit that model on.")
    ] = 100,
    choice: Annotated[
        str,
        typer.Option("--choice", help="Of these networks: active, near the fronts expected, or random."),
    ] = "active",
    refine: Annotated[
        int | None,
        typer.Option("--refine", min=0, help="Architectures that refining a front scores."),
    ] = None,
    no_refine: Annotated[
        bool, typer.Option("--no-refine", help="Fronts as the MetaHypernetwork says, as --refine 0.")
    ] = False,
    accelerator: Annotated[
        str, typer.Option("--accelerator", help="Where networks are trained: auto, cpu or cuda.")
    ] = "auto",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="File of weights that the supernetwork starts from.")
    ] = None,
    freeze_weights: Annotated[
        bool, typer.Option("--freeze-weights", help="Search on these weights without training them.")
    ] = False,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Run the supernetwork in bfloat16, for hardware that has it.")
    ] = False,
    hypernetwork: Annotated[
        str | None,
        typer.Option("--hypernetwork", help="conditioned (on the device) or paper, as the paper has it."),
    ] = None,
    measure: Annotated[
        int,
        typer.Option(
            "--measure",
            min=0,
            help="Networks to measure on each device while the search runs, besides the profile's.",
        ),
    ] = 0,
    verification: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Train and measure what was found.")
    ] = True,
    json_output: JsonOption = False,
) -> None:
    """Profile what is missing, train the predictor, search, verify on the devices, and report.

    The same command continues a run that was interrupted, and repeats nothing that is done.
    """
    if no_refine and refine:
        raise UsageError(f"--no-refine and --refine {refine} say the opposite; give one of them")
    with Study(
        space,
        task,
        devices,
        preset,
        accuracy=accuracy,
        seed=seed,
        data_dir=data_dir,
        name=name,
        objectives=objectives,
        constraints=constraint or (),
        scheme=scheme,
        estimator=estimator,
        evaluations=evaluations,
        choice=choice,
        refine=0 if no_refine else refine,
        accelerator=accelerator,
        weights=weights,
        freeze_weights=freeze_weights,
        bfloat16=bfloat16,
        hypernetwork=hypernetwork,
        measure=measure,
        progress=Shown(),
    ) as study:
        result = study.run(verification, _show_verification)
    if json_output:
        print_json(result)
    else:
        say(f"report: {result['report']}")


def front(
    run_name: RunOption,
    device: DeviceOption,
    preferences: Annotated[
        int | None,
        typer.Option(
            "--preferences",
            min=2,
            max=10_000,
            help="Evenly spread preferences to answer; else as many as the search.",
        ),
    ] = None,
    networks: Annotated[
        Path | None,
        typer.Option("--networks", help="Folder to write the networks to, trained, as ONNX files."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """The front of any device with a feature vector, without another search."""
    with Study.open(run_name, Shown()) as study:
        if networks is not None:
            study.networks(device, networks, preferences)
        found = study.front(device, preferences)
    if json_output:
        print_json(found)
    else:
        _print_entries(found["architectures"], study.config.objectives[1:])


def verify(run_name: RunOption, device: DeviceOption, json_output: JsonOption = False) -> None:
    """Train and measure a device's front, beside as many random architectures."""
    with Study.open(run_name, Shown()) as study:
        found = study.verify(device)
    _show_verification(found)
    if json_output:
        print_json(found)


def report(run_name: RunOption, json_output: JsonOption = False) -> None:
    """Write report.html of a run."""
    with Study.open(run_name, Shown()) as study:
        path = study.report()
    if json_output:
        print_json({"report": str(path)})
    else:
        say(f"report: {path}")


def _show_verification(found: Verification) -> None:
    """Print what was found on a device, and how good it is."""
    device, volume = found["device"], found["hypervolume"]
    _print_entries(found["architectures"], found["spearman"])
    table = "table" in found
    source = "looked up in the table" if table else f"measured {found['measured_now']}, reused"
    say(
        f"{device}: trained {found['trained_now']} networks, reused {found['trainings_reused']}; "
        f"{source} {found['measurements_reused']}"
    )
    say(
        f"{device}: hypervolume of the front {volume['front']:.4f}, of {len(found['random'])} random "
        f"architectures {volume['random']:.4f}; Spearman of predicted and measured "
        + ", ".join(
            f"{metric.replace('_', ' ')} {'undefined' if value is None else f'{value:.3f}'}"
            for metric, value in found["spearman"].items()
        )
    )


def _print_entries(entries: Sequence[FrontEntry], names: Iterable[str]) -> None:
    """A table of what was predicted, and of what was measured if it was; `names` of the metrics."""
    metrics = get_metrics(names)
    rows = []
    for entry in entries:
        predicted, measured = entry["predicted"], cast(dict[str, Any], entry).get("measured") or {}
        rows.append(
            (
                entry["arch"].partition(":")[2],
                " ".join(f"{r:.2f}" for r in entry["preference"]),
                predicted["error"],
                measured.get("error"),
                *(value for m in metrics for value in (predicted[m.key], measured.get(m.key))),
            )
        )
    heads = [head for metric in metrics for head in (f"{metric.title} (pred.)", metric.title)]
    print_table(rows, ["architecture", "preference", "error % (pred.)", "error %", *heads])
