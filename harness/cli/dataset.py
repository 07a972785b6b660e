"""`modnas-hw dataset`: training sets and published tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    MeasuredDevicesOption,
    MetricOption,
    OptionalMetricOption,
    SetOption,
    SpaceOption,
    make_space,
)
from harness.cli.output import JsonOption, print_json, print_table, progress_bar, say
from harness.core.errors import UsageError
from harness.datasets import training_sets as datasets
from harness.datasets.download import TOTAL_S, Patience
from harness.datasets.fetch import MIRROR, RECORD, Fetched, fetch, sources
from harness.datasets.importing import BENCHMARKS, Consent, ImportReport, import_named
from harness.devices.table import remove_tables
from harness.store import Store
from harness.store.metrics import get_metric
from modnas.prediction import DeviceTable

app = typer.Typer(help="Training sets.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def build(
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    devices: MeasuredDevicesOption = None,
    settings: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write instead of the home's.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Build the MetaPredictor's training set from everything measured."""
    sized = make_space(space, settings)
    with Store() as store:
        tables = datasets.named_tables(store, sized, metric, devices)
    path = out or datasets.dataset_path(sized, metric)
    datasets.save_dataset(path, sized, metric, tables)
    _show_dataset(path, tables, metric, json_output)


@app.command("import")
def import_command(
    what: Annotated[
        str, typer.Argument(help=f"A file with header arch,value, or {' or '.join(BENCHMARKS)}.")
    ],
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder of a benchmark's tables (it holds nb201/, ofa/).")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Name of the device the file's values are of.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Task that the file has networks' errors on, in percent.")
    ] = None,
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    unit: Annotated[str | None, typer.Option("--unit", help="Unit of the values, e.g. ms.")] = None,
    settings: SetOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let a table hide a shipped profile of its name.")
    ] = False,
    accept_implausible: Annotated[
        bool, typer.Option("--accept-implausible", help="Keep values that cannot be of one unit.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Import a table: its devices can be used like any other but not measured, its errors searched on."""
    consent = Consent(replace, accept_implausible)
    sized = make_space(space, settings)
    with Store() as store:
        done = import_named(
            store,
            what,
            source=source,
            device=device,
            task=task,
            space=sized,
            metric=metric,
            unit=unit,
            consent=consent,
        )
    _show_import(done, json_output)


@app.command("remove")
def remove_command(
    device: Annotated[str, typer.Option("--device", help="Device whose tables to remove.")],
    space: Annotated[str | None, typer.Option("--space", help="Only those of this search space.")] = None,
    metric: OptionalMetricOption = None,
    settings: SetOption = None,
    json_output: JsonOption = False,
) -> None:
    """Remove imported tables of a device. What was measured stays."""
    if settings and space is None:
        raise UsageError("--set goes with --space: it says which network size of a space is meant")
    sized = None if space is None else make_space(space, settings)
    with Store() as store:
        removed = remove_tables(store, device, space, metric, sized.variant if sized and settings else None)
        left = device in store.table_devices()
    if json_output:
        print_json({"device": device, "removed": removed, "other_tables": left})
        return
    keys = ["space", "variant", "metric", "architectures"]
    print_table([[entry[key] for key in keys] for entry in removed], keys)
    say(f"removed of {device}; what was made of it (data sets, predictors, runs) stays")


@app.command("fetch")
def fetch_command(
    benchmark: Annotated[str, typer.Argument(help=f"One of {', '.join(sources())}.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to put the tables in.")],
    mirror: Annotated[str, typer.Option("--mirror", help="Address to fetch from.")] = MIRROR,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds after which it is given up; what came stays.")
    ] = TOTAL_S,
    json_output: JsonOption = False,
) -> None:
    """Download published tables and convert them; the same command continues what was interrupted."""
    with progress_bar("file") as bar:
        task = bar.add_task(f"fetching {benchmark}", total=None, rate="-", note="")

        def on_file(one: Fetched, total: int) -> None:
            bar.update(task, total=total, advance=1, note=Path(one.path).name)

        report = fetch(benchmark, to, mirror, on_file, Patience(timeout))
    if json_output:
        print_json(report.document())
    else:
        print_table([(name,) for name in report.written], [f"in {report.folder}"])
    say(
        f"{len(report.files)} files, {report.unverified} of them not verified "
        f"(no sha256 is known beforehand); what came is recorded in {report.folder / RECORD}"
    )


def _show_import(done: ImportReport, json_output: bool) -> None:
    space, report = done.space, done.imported
    for warning in (warning for one in report for warning in one.warnings):
        say(f"warning: {warning}")
    for reason in done.left_out.values():
        say(f"left out: {reason}")
    if json_output:
        print_json(done.document())
        return
    rows = [(one.device, one.metric, one.architectures, one.added) for one in [*report, *done.accuracies]]
    print_table(rows, ["device", "metric", "architectures", "new or changed"])
    say(f"values of {space.name} networks of size {space.variant}")


@app.command("show")
def show_dataset(
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    settings: SetOption = None,
    file: Annotated[Path | None, typer.Option("--file", help="A training set elsewhere.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Show what a training set holds."""
    sized = make_space(space, settings)
    path = file or datasets.dataset_path(sized, metric)
    _show_dataset(path, datasets.load_dataset(path, sized, metric), metric, json_output)


def _show_dataset(path: Path, tables: list[DeviceTable], metric: str, json_output: bool) -> None:
    rows = [datasets.describe(table) for table in tables]
    if json_output:
        print_json({"path": str(path), "metric": metric, "devices": rows})
    else:
        print_table([list(row.values()) for row in rows], ["device", "architectures", "min", "max"])
        say(f"{path}: {metric} in {get_metric(metric).suffix}")
