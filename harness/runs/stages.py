"""The steps of a search, each from start to end, with progress: measuring, fitting, searching, verifying."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch

from harness.core.progress import Note, Progress, stage
from harness.devices.profile import DeviceProfile
from harness.devices.table import TableDevice, table_note, table_origin
from harness.measure.profile_devices import measure_on
from harness.measure.reports import ProfileReport
from harness.runs.accuracy import AccuracyFunction, accuracy_source
from harness.runs.evaluation import Subject
from harness.runs.in_the_loop import InTheLoop
from harness.runs.lookup import look_up
from harness.runs.predictors import fit_predictors, hardware_metrics
from harness.runs.results import FrontEntry, Table, Verification
from harness.runs.run import BY_FUNCTION, BY_TRAINING, Run, TaskAndSpace
from harness.runs.search import SearchRun, run_search, write_fronts
from harness.runs.surrogate import fit_run_surrogate
from harness.runs.verify import OnEvaluation, verify_device
from harness.store import Evaluation, Store
from modnas.search.stats import EpochStats, Validation
from modnas.spaces import Architecture, Space


def measure_for(
    run: Run,
    device: DeviceProfile | TableDevice,
    space: Space,
    architectures: Sequence[Architecture],
    *,
    store: Store,
    progress: Progress,
) -> ProfileReport:
    """Measure on a device all that the run's objectives need; a table's values are looked up.

    Raises as `profile_device` does.
    """
    metrics = hardware_metrics(run)
    if isinstance(device, TableDevice):
        return look_up(store, device.id, space, metrics, architectures)
    return measure_on(
        device, space, architectures, store, seed=run.config.seed, metrics=metrics, progress=progress
    )


def tell_table(run: Run, device: str, space: Space, store: Store, progress: Progress) -> Table | None:
    """Tell where a table device's values come from; nothing for a device that is measured."""
    table = table_origin(store, device, space, *(metric.name for metric in hardware_metrics(run)))
    if table:
        progress(Note(table_note(device, table, space)))
    return cast(Table | None, table)


def is_fitted(run: Run) -> bool:
    """Whether the run has its predictors, and its accuracy surrogate if it is to have one."""
    surrogate = run.config.evaluations is None or run.has("surrogate.safetensors")
    return run.has("predictor.json") and surrogate


def fit_models(
    run: Run,
    made: TaskAndSpace,
    store: Store,
    progress: Progress,
    function: AccuracyFunction | None = None,
) -> None:
    """Fit the predictors and the accuracy surrogate, where they are wanted and not there.

    `function`: the user's that says accuracies, for a run that has one.
    """
    if run.config.settings.threads is not None:
        torch.set_num_threads(run.config.settings.threads)
    if not run.has("predictor.json"):
        for metric, devices in fit_predictors(run, made.space, store).items():
            for device, figures in devices.items():
                shown = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
                progress(Note(f"predictor of {metric} on {device}, held out: {shown}"))
    if not is_fitted(run):
        total, by = run.config.evaluations, run.config.evaluated_by
        source = accuracy_source(Subject(run, made.space, made.task), store, "valid", function)
        doing = "training" if by == BY_TRAINING else "evaluating"
        with training(progress, f"{doing} for the surrogate", total) as on_evaluation:
            fit_run_surrogate(run, made, store, source, on_evaluation)
        what = {
            BY_TRAINING: f"the validation errors of {total} trained networks",
            BY_FUNCTION: f"{total} accuracies by a function",
            "published": f"{total} published accuracies",
        }.get(by, f"{total} accuracies by {by}")
        progress(Note(f"accuracy surrogate: fitted on {what}"))


def search_to_end(
    state: SearchRun,
    store: Store,
    progress: Progress,
    find: Callable[[str], DeviceProfile | TableDevice],
) -> dict[str, list[FrontEntry]]:
    """Run the epochs that are left, and write down the front of each device.

    `find`: gives a device by its id, for a run that measures while it searches.
    """
    search = state.search
    loop = InTheLoop(state, store, find, progress) if state.run.config.measure else None
    if search.epoch:
        progress(Note(f"search: {search.epoch} of {search.config.epochs} epochs are done already"))
    with stage(progress, "searching", "epoch", search.config.epochs, search.epoch) as searching:

        def on_warmup(done: int) -> None:
            searching.update(note=f"warm-up {done} of {search.config.warmup_epochs}")

        def on_epoch(stats: EpochStats, validation: Validation | None) -> None:
            note = f"hypervolume {validation.score:.3f}" if validation else ""
            searching.update(stats.epoch + 1, note=note)

        run_search(state, on_epoch, on_warmup, loop.before_epoch if loop else lambda: None)
    progress(Note(f"search: {search.epoch} epochs, best front after epoch {search.best_epoch}"))
    fronts: dict[str, list[FrontEntry]] = write_fronts(state, store)["devices"]
    return fronts


def verify_front(
    run: Run,
    state: SearchRun,
    device: DeviceProfile | TableDevice,
    store: Store,
    *,
    progress: Progress,
    function: AccuracyFunction | None = None,
) -> Verification:
    """Verify one device, and keep the result in verification.json. Raises as `verify_device` does.

    `function`: the user's that says accuracies, for a run that has one.
    """
    source = accuracy_source(state, store, "test", function)
    table = tell_table(run, device.id, state.space, store, progress)

    def measure(chosen: list[Architecture]) -> ProfileReport:
        return measure_for(run, device, state.space, chosen, store=store, progress=progress)

    with training(progress, "training what was found") as on_evaluation:
        document = verify_device(state, device.id, store, measure, source=source, on_evaluation=on_evaluation)
    if table:
        document["table"] = table
    done = run.read_json("verification.json") if run.has("verification.json") else {}
    run.write_json("verification.json", {**done, device.id: document})
    return cast(Verification, document)


@contextmanager
def training(progress: Progress, name: str, total: int | None = None) -> Iterator[OnEvaluation]:
    """A stage in which networks are trained; to be told of each."""
    with stage(progress, name, "network", total) as running:

        def on_evaluation(row: Evaluation, now: bool) -> None:
            rate = 1 / row.seconds if row.seconds else None
            running.update(running.done + 1, rate=rate, note=f"error {row.error:.2f} %")

        yield on_evaluation
