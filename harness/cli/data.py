"""`modnas-hw features`, `dataset` and `predictor`: from measurements to a predictor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from harness.cli.options import (
    DeviceOption,
    MetricOption,
    OptionalMetricOption,
    SeedOption,
    SetOption,
    SpaceOption,
    make_space,
)
from harness.cli.output import JsonOption, Shown, print_json, print_table, progress_bar, say
from harness.core.errors import UsageError
from harness.core.tensors import load_tensors, save_tensors
from harness.datasets import training_sets as datasets
from harness.datasets.fetch import MIRROR, RECORD, Fetched, fetch, sources
from harness.datasets.importing import BENCHMARKS, IMPORTERS, Consent, ImportReport, import_csv
from harness.devices.table import TableDevice, find_device, remove_tables, table_note, table_origin
from harness.measure.arch_lists import select_architectures
from harness.measure.profile_devices import measure_on
from harness.store import Store
from harness.store.metrics import get_metric
from modnas.prediction import DeviceTable, fit_predictor, from_state, to_state
from modnas.prediction.holdout import judge_on_holdout
from modnas.spaces import Space

dataset_app = typer.Typer(help="Training sets.", no_args_is_help=True, rich_markup_mode=None)
predictor_app = typer.Typer(help="The MetaPredictor.", no_args_is_help=True, rich_markup_mode=None)

DevicesOption = Annotated[
    list[str] | None, typer.Option("--device", help="Device; repeat for several. All with data when absent.")
]
HoldoutOption = Annotated[float, typer.Option("--holdout", min=0.05, max=0.9, help="Share kept for judging.")]
LimitOption = Annotated[
    int, typer.Option("--limit", min=10, help="Architectures of a device to fit to; more are drawn from.")
]


def features(
    device: DeviceOption,
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    settings: SetOption = None,
    json_output: JsonOption = False,
) -> None:
    """The device vector: the metric on the ten reference architectures, measured where it is missing."""
    asked = get_metric(metric)
    sized = make_space(space, settings)
    with Store() as store:
        target, like = find_device(device, store), None
        if not isinstance(target, TableDevice):
            wanted = list(sized.references)
            like = measure_on(target, sized, wanted, store, metrics=(asked,), progress=Shown()).rows[0]
        found = datasets.device_features(store, target.id, sized, metric, like)
        table = table_origin(store, target.id, sized, metric)
    scaled = found.vector.tolist()
    if json_output:
        print_json(
            {
                "device": target.id,
                "space": sized.name,
                "variant": sized.variant,
                "references": [a.id for a in sized.references],
                asked.key: list(found.values),
                "vector": scaled,
                **({"table": table} if table else {}),
            }
        )
    else:
        rows = list(zip((a.string for a in sized.references), found.values, scaled, strict=True))
        print_table(rows, ["reference architecture", asked.title, "feature"])
        if table:
            say(table_note(target.id, table, sized))


def _tables(store: Store, space: Space, metric: str, devices: list[str] | None) -> list[DeviceTable]:
    names = [find_device(name, store).id for name in devices or []]
    names = names or datasets.measured_devices(store, space, metric)
    if not names:
        raise UsageError(
            f"no device has measurements of {space.name} {space.variant}; "
            "run modnas-hw profile and modnas-hw features first"
        )
    return [datasets.device_table(store, name, space, metric) for name in names]


@dataset_app.command()
def build(
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    devices: DevicesOption = None,
    settings: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write instead of the home's.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Build the MetaPredictor's training set from everything measured."""
    sized = make_space(space, settings)
    with Store() as store:
        tables = _tables(store, sized, metric, devices)
    path = out or datasets.dataset_path(sized, metric)
    datasets.save_dataset(path, sized, metric, tables)
    _show_dataset(path, tables, metric, json_output)


@dataset_app.command("import")
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
    """Import a table: its devices can then be used like any other, but not measured."""
    consent = Consent(replace, accept_implausible)
    with Store() as store:
        if source is not None:
            if what not in BENCHMARKS or device is not None:
                raise UsageError(f"--from DIR goes with one of {', '.join(BENCHMARKS)} and without --device")
            done = IMPORTERS[what](store, source, consent)
        elif device is None:
            raise UsageError(
                f"import of {what}: name its --device, or for {', '.join(BENCHMARKS)} the folder: --from"
            )
        else:
            sized = make_space(space, settings)
            report = import_csv(store, Path(what), device, sized, metric=metric, unit=unit, consent=consent)
            done = ImportReport(sized, report, {})
    _show_import(done, json_output)


@dataset_app.command("remove")
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


@dataset_app.command("fetch")
def fetch_command(
    benchmark: Annotated[str, typer.Argument(help=f"One of {', '.join(sources())}.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to put the tables in.")],
    mirror: Annotated[str, typer.Option("--mirror", help="Address to fetch from.")] = MIRROR,
    json_output: JsonOption = False,
) -> None:
    """Download published tables and convert them; the same command continues what was interrupted."""
    with progress_bar("file") as bar:
        task = bar.add_task(f"fetching {benchmark}", total=None, rate="-", note="")

        def on_file(one: Fetched, total: int) -> None:
            bar.update(task, total=total, advance=1, note=Path(one.path).name)

        report = fetch(benchmark, to, mirror, on_file)
    unverified = sum(not one.verified for one in report.files)
    if json_output:
        files = [asdict(one) for one in report.files]
        print_json({"folder": str(report.folder), "files": files, "written": report.written})
    else:
        print_table([(name,) for name in report.written], [f"in {report.folder}"])
    say(
        f"{len(report.files)} files, {unverified} of them not verified (no sha256 is known beforehand); "
        f"what came is recorded in {report.folder / RECORD}"
    )


def _show_import(done: ImportReport, json_output: bool) -> None:
    space, report = done.space, done.imported
    for warning in (warning for one in report for warning in one.warnings):
        say(f"warning: {warning}")
    for reason in done.left_out.values():
        say(f"left out: {reason}")
    if json_output:
        head = {"space": space.name, "variant": space.variant, "added": sum(one.added for one in report)}
        print_json({**head, "devices": [asdict(one) for one in report], "left_out": done.left_out})
        return
    rows = [(one.device, one.metric, one.architectures, one.added) for one in report]
    print_table(rows, ["device", "metric", "architectures", "new or changed"])
    say(f"values of {space.name} networks of size {space.variant}")


@dataset_app.command("show")
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
    _show_dataset(path, datasets.load_dataset(path, sized), metric, json_output)


def _show_dataset(path: Path, tables: list[DeviceTable], metric: str, json_output: bool) -> None:
    rows = [
        {
            "device": table.name,
            "architectures": len(table.architectures),
            "min": float(np.min(table.values)),
            "max": float(np.max(table.values)),
        }
        for table in tables
    ]
    if json_output:
        print_json({"path": str(path), "metric": metric, "devices": rows})
    else:
        print_table([list(row.values()) for row in rows], ["device", "architectures", "min", "max"])
        say(f"{path}: {metric} in {get_metric(metric).suffix}")


def _training_tables(
    space: Space, metric: str, devices: list[str] | None, limit: int, seed: int
) -> list[DeviceTable]:
    with Store() as store:
        tables = _tables(store, space, metric, devices)
    return [datasets.thinned(table, limit, seed) for table in tables]


@predictor_app.command()
def train(
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    devices: DevicesOption = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    holdout: HoldoutOption = 0.2,
    limit: LimitOption = 900,
    json_output: JsonOption = False,
) -> None:
    """Fit a MetaPredictor to what was measured, and judge one fitted without the holdout."""
    sized = make_space(space, settings)
    tables = _training_tables(sized, metric, devices, limit, seed)
    figures = _judge(sized, tables, holdout, seed)
    path = datasets.predictor_path(sized, metric)
    save_tensors(path, *to_state(fit_predictor(sized, tables, seed=seed)))
    _show_figures({"path": str(path), "metric": metric, "holdout": figures}, json_output)


@predictor_app.command("evaluate")
def evaluate_command(
    space: SpaceOption = "nasbench201",
    metric: MetricOption = "latency",
    devices: DevicesOption = None,
    settings: SetOption = None,
    seed: SeedOption = 0,
    holdout: HoldoutOption = 0.2,
    limit: LimitOption = 900,
    json_output: JsonOption = False,
) -> None:
    """Rank correlations and hit rate on measured architectures that the fit has not seen."""
    sized = make_space(space, settings)
    tables = _training_tables(sized, metric, devices, limit, seed)
    _show_figures({"metric": metric, "holdout": _judge(sized, tables, holdout, seed)}, json_output)


def _judge(space: Space, tables: list[DeviceTable], holdout: float, seed: int) -> dict[str, dict[str, float]]:
    try:
        return judge_on_holdout(space, tables, holdout, seed)
    except ValueError as error:
        raise UsageError(f"{error}; measure more with modnas-hw profile") from error


def _show_figures(document: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(document)
        return
    figures = document["holdout"]
    names = list(next(iter(figures.values())))
    print_table([(device, *values.values()) for device, values in figures.items()], ["held out", *names])
    if "path" in document:
        say(f"predictor written to {document['path']}")


@predictor_app.command()
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
    path = datasets.predictor_path(sized, metric)
    if not path.is_file():
        raise UsageError(f"no predictor of {metric} for {sized.name} {sized.variant}; run predictor train")
    predictor = from_state(sized, *load_tensors(path))
    with Store() as store:
        name = find_device(device, store).id
        references = datasets.device_features(store, name, sized, metric).values
    found = predictor.predict(chosen, references)
    rows = [
        {"arch": a.id, "value": float(v), "lower": float(low), "upper": float(high)}
        for a, v, low, high in zip(chosen, found.value, found.lower, found.upper, strict=True)
    ]
    if json_output:
        print_json({"device": name, "metric": metric, "unit": get_metric(metric).suffix, "predictions": rows})
    else:
        print_table([list(row.values()) for row in rows], ["arch", metric, "lower", "upper"])
