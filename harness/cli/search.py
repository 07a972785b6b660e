"""`modnas-hw search`, `front`, `verify` and `report`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.data_check import check_data
from harness.cli.options import DeviceOption, SeedOption
from harness.cli.output import JsonOption, print_json, print_table, progress_bar, say
from harness.cli.profile import run_profile
from harness.devices.session import DeviceSession
from harness.errors import UsageError
from harness.presets import get_preset
from harness.profiling import ProfileReport
from harness.report import write_report
from harness.run_inputs import complete, forerunner, is_recorded, is_there
from harness.runs import Run, RunConfig
from harness.search_options import SearchOptions
from harness.search_run import (
    SearchRun,
    fit_predictors,
    hardware_metrics,
    open_search,
    profile_sample,
    run_search,
    write_fronts,
    written_front,
)
from harness.starting_weights import check_weights
from harness.store import Evaluation, Store
from harness.surrogate_run import fit_run_surrogate
from harness.tables.devices import TableDevice, find_device, measurable, table_note, table_origin
from harness.tables.lookup import check_searchable, look_up
from harness.task_content import absolute
from harness.verify import OnEvaluation, verify_device
from modnas.search.stats import EpochStats, Validation
from modnas.spaces import Architecture, Space, space_names
from modnas.tasks import TASK_NAMES

RunOption = Annotated[str, typer.Option("--run", help="Name or folder of a run.")]


def search(
    devices: Annotated[str, typer.Option("--devices", help="Devices, separated by commas.")],
    space: Annotated[str, typer.Option("--space", help="Search space.")] = "nasbench201",
    task: Annotated[str, typer.Option("--task", help=f"One of {', '.join(TASK_NAMES)}.")] = "digits",
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of the task's files.")] = None,
    preset: Annotated[
        str,
        typer.Option("--preset", help="Sizes and times: quick, small or paper, as the space has them."),
    ] = "quick",
    name: Annotated[str | None, typer.Option("--run", help="Name of the run.")] = None,
    seed: SeedOption = 0,
    objectives: Annotated[
        str, typer.Option("--objectives", help="error,latency or error,latency,energy.")
    ] = "error,latency",
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", help="Below it a metric is good enough: latency=0.2 (0 to 1)."),
    ] = None,
    scheme: Annotated[str | None, typer.Option("--scheme", help="mgd, mean, sequential or sample.")] = None,
    estimator: Annotated[str | None, typer.Option("--estimator", help="reinmax or gdas.")] = None,
    accuracy: Annotated[
        str, typer.Option("--accuracy", help="supernet, or surrogate: a model fitted on trained networks.")
    ] = "supernet",
    evaluations: Annotated[
        int, typer.Option("--evaluations", help="Networks trained to fit the surrogate on.")
    ] = 100,
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
    verification: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Train and measure what was found.")
    ] = True,
    json_output: JsonOption = False,
) -> None:
    """Profile what is missing, train the predictor, search, verify on the devices, and report.

    The same command continues a run that was interrupted, and repeats nothing that is done.
    """
    options = SearchOptions(
        objectives,
        tuple(constraint or ()),
        scheme,
        estimator,
        accuracy,
        evaluations,
        accelerator,
        weights,
        freeze_weights,
        bfloat16,
    )
    with Store() as store:
        asked = _config(devices, space, task, data_dir, preset, seed, options, store)
        config, data = complete(asked, store, name, say)
        Run.at(config, name).check_free()
        notes = check_weights(config, weights) if weights is not None else ()
        for spec in config.devices:  # before anything is measured anywhere
            target = find_device(spec, store)
            if isinstance(target, TableDevice):
                check_searchable(config, store, target.id)
            else:
                with DeviceSession(target):
                    pass
        notes = (*check_data(config), *notes)
        with Run.claim(config, name, data) as run:
            say("\n".join([f"run {run.name}", *notes]))
            run.write_json("notes.json", {"notes": notes})
            if name is None and not run.has_learned and (why := forerunner(run, data)):
                say(why)
            _prepare(run, store)
            state = open_search(run, store, weights)
            _search(state)
            fronts = write_fronts(state, store)["devices"]
            results = {d: _verify(run, state, d, store) for d in config.devices} if verification else {}
            report_path = write_report(run, store)
    if json_output:
        document = {"run": run.name, "data": notes, "report": str(report_path), "fronts": fronts}
        print_json({**document, "verification": results})
    else:
        say(f"report: {report_path}")


def _config(
    devices: str,
    space: str,
    task: str,
    data_dir: Path | None,
    preset: str,
    seed: int,
    options: SearchOptions,
    store: Store,
) -> RunConfig:
    if space not in space_names():
        raise UsageError(f"no space {space!r}; known: {', '.join(space_names())}")
    if task not in TASK_NAMES:
        raise UsageError(f"no task {task!r}; known: {', '.join(TASK_NAMES)}")
    names = [find_device(part.strip(), store).id for part in devices.split(",") if part.strip()]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"--devices {devices}: name at least one device, and each once")
    settings = get_preset(space, preset)
    return RunConfig(
        **options.resolve(),
        space=space,
        task=task,
        data_dir=absolute(task, data_dir),
        devices=tuple(names),
        preset=preset,
        settings=settings.model_copy(update={"search": {**settings.search, **options.settings()}}),
        seed=seed,
    )


def _wants_energy(run: Run) -> bool:
    return "energy" in run.config.objectives


def _prepare(run: Run, store: Store) -> None:
    """Measure what the predictors need, and fit them if they are not there yet."""
    sized = run.config.make_space(run.config.make_task())
    for device in run.config.devices:
        target = find_device(device, store)
        if isinstance(target, TableDevice):
            _say_table(store, device, sized, run)
        else:
            wanted = profile_sample(run, sized)
            run_profile(target, sized, wanted, store, run.config.seed, energy=_wants_energy(run))
    if not run.has("predictor.json"):
        for metric, devices in fit_predictors(run, sized, store).items():
            for device, figures in devices.items():
                shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
                say(f"predictor of {metric} on {device}, held out: {shown}")
    if run.config.evaluations is not None and not run.has("surrogate.safetensors"):
        _fit_surrogate(run, sized, store)


def _fit_surrogate(run: Run, sized: Space, store: Store) -> None:
    with progress_bar("network") as bar:
        total = run.config.evaluations
        task = bar.add_task("training for the surrogate", total=total, rate="-", note="")

        def on_evaluation(row: Evaluation, now: bool) -> None:
            bar.advance(task)
            bar.update(task, rate=f"{1 / row.seconds:.2f}", note=f"error {row.error:.2f} %")

        fit_run_surrogate(run, sized, run.config.make_task(), store, on_evaluation)
    say(f"accuracy surrogate: fitted on the validation errors of {total} trained networks")


def _search(state: SearchRun) -> None:
    search = state.search
    if search.epoch:
        say(f"search: {search.epoch} of {search.config.epochs} epochs are done already")
    with progress_bar("epoch") as bar:
        task = bar.add_task(
            "searching", total=search.config.epochs, completed=search.epoch, rate="-", note=""
        )
        began, first = time.monotonic(), search.epoch

        def on_warmup(done: int) -> None:
            bar.update(task, note=f"warm-up {done} of {search.config.warmup_epochs}")

        def on_epoch(stats: EpochStats, validation: Validation | None) -> None:
            done = stats.epoch + 1
            bar.update(
                task,
                completed=done,
                rate=f"{(done - first) / (time.monotonic() - began):.2f}",
                note=f"hypervolume {validation.score:.3f}" if validation else "",
            )

        run_search(state, on_epoch, on_warmup)
    say(f"search: {search.epoch} epochs, best front after epoch {search.best_epoch}")


def front(
    run_name: RunOption,
    device: DeviceOption,
    preferences: Annotated[
        int | None,
        typer.Option(
            "--preferences", min=2, help="Evenly spread preferences to answer; else as many as the search."
        ),
    ] = None,
    networks: Annotated[
        Path | None,
        typer.Option("--networks", help="Folder to write the networks to, trained, as ONNX files."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """The front of any device with a feature vector, without another search."""
    run = Run.open(run_name)
    if preferences is not None and preferences < len(run.config.objectives):
        raise UsageError(f"run {run.name} has {len(run.config.objectives)} objectives: as many --preferences")
    with Store() as store:
        name = find_device(device, store).id
        written = written_front(run, name, preferences)
        if written is not None and networks is None and not is_there(run.config):
            entries, table = written, run.read_json("front.json").get("tables", {}).get(name)
            say(f"run {run.name}: its data are gone from {run.config.data_dir}; the front is as it was found")
        else:
            state = _open_search(run, store)
            if networks is not None:
                check_data(run.config)
            entries = state.front(store, name, preferences)
            table = _say_table(store, name, state.space, run)
            if networks is not None:
                _write_networks(state, entries, store, networks)
    if json_output:
        document = {"run": run.name, "device": name, "architectures": entries}
        print_json({**document, "table": table} if table else document)
    else:
        _print_entries(entries)


def _open_search(run: Run, store: Store) -> SearchRun:
    """A search to read, with a word where it is not known what data it began with."""
    state = open_search(run, store)
    if not is_recorded(run.config):
        say(f"run {run.name} is older than records of data: whether they are still the same cannot be told")
    return state


def _write_networks(state: SearchRun, entries: list[dict[str, Any]], store: Store, folder: Path) -> None:
    from harness.front_export import LIST, export_front  # what it needs for text is slow to import

    with _training_bar() as on_evaluation:
        document = export_front(state, entries, store, folder, on_evaluation)
    say(f"{len(document['networks'])} networks and {LIST} written to {folder}")


def verify(run_name: RunOption, device: DeviceOption, json_output: JsonOption = False) -> None:
    """Train and measure a device's front, beside as many random architectures."""
    run = Run.open(run_name)
    with Store() as store, run.held():
        name, state = find_device(device, store).id, _open_search(run, store)
        check_data(run.config)
        document = _verify(run, state, name, store)
    if json_output:
        print_json(document)


def report(run_name: RunOption, json_output: JsonOption = False) -> None:
    """Write report.html of a run."""
    with Store() as store:
        path = write_report(Run.open(run_name), store)
    if json_output:
        print_json({"report": str(path)})
    else:
        say(f"report: {path}")


@contextmanager
def _training_bar() -> Iterator[OnEvaluation]:
    """Shows the networks that are being trained; to be told of each."""
    with progress_bar("network") as bar:
        task = bar.add_task("training what was found", total=None, rate="-", note="")

        def on_evaluation(row: Evaluation, now: bool) -> None:
            bar.advance(task)
            bar.update(task, rate=f"{1 / row.seconds:.2f}", note=f"error {row.error:.2f} %")

        yield on_evaluation


def _verify(run: Run, state: SearchRun, device: str, store: Store) -> dict[str, Any]:
    """Verify one device, keep the result in verification.json, and print it."""
    table = _say_table(store, device, state.space, run)
    with _training_bar() as on_evaluation:

        def measure(chosen: list[Architecture]) -> ProfileReport:
            if table:
                return look_up(store, device, state.space, hardware_metrics(run), chosen)
            target, seed = measurable(device, store), run.config.seed
            return run_profile(target, state.space, chosen, store, seed, energy=_wants_energy(run))

        document = verify_device(state, device, store, measure, on_evaluation)
    if table:
        document["table"] = table
    done = run.read_json("verification.json") if run.has("verification.json") else {}
    run.write_json("verification.json", {**done, device: document})
    _print_entries(document["architectures"])
    volume, agreement = document["hypervolume"], document["spearman"]["latency"]
    source = "looked up in the table" if table else f"measured {document['measured_now']}, reused"
    say(
        f"{device}: trained {document['trained_now']} networks, reused {document['trainings_reused']}; "
        f"{source} {document['measurements_reused']}"
    )
    say(
        f"{device}: hypervolume of the front {volume['front']:.4f}, of {len(document['random'])} random "
        f"architectures {volume['random']:.4f}; Spearman of predicted and measured latency "
        + ("undefined" if agreement is None else f"{agreement:.3f}")
    )
    return document


def _say_table(store: Store, device: str, space: Space, run: Run) -> dict[str, Any] | None:
    """Tell where a table device's values come from; nothing for a device that is measured."""
    table = table_origin(store, device, space, *hardware_metrics(run))
    if table:
        say(table_note(device, table, space))
    return table


def _print_entries(entries: list[dict[str, Any]]) -> None:
    rows = []
    for entry in entries:
        predicted, measured = entry["predicted"], entry.get("measured") or {}
        rows.append(
            (
                entry["arch"].partition(":")[2],
                " ".join(f"{r:.2f}" for r in entry["preference"]),
                predicted["error"],
                measured.get("error"),
                predicted["latency_ms"],
                measured.get("latency_ms"),
            )
        )
    print_table(
        rows,
        ["architecture", "preference", "error % (pred.)", "error %", "latency ms (pred.)", "latency ms"],
    )
