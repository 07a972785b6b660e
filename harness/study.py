"""A search from end to end, for programs: all that `modnas-hw search` does, at once or step by step.

    with Study(devices=["cpu"], preset="quick") as study:
        result = study.run()

Nothing here prints: whoever wants to show how far the work has come passes `progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from harness.core.errors import UsageError
from harness.core.home import typed_path
from harness.core.progress import Note, Progress, silent
from harness.devices.profile import DeviceProfile
from harness.devices.table import TableDevice, find_device
from harness.measure.reports import ProfileReport
from harness.report import write_report
from harness.runs.accuracy import AccuracyFunction
from harness.runs.inputs import is_recorded, is_there
from harness.runs.options import resolve_config
from harness.runs.predictors import profile_sample
from harness.runs.results import Front, FrontEntry, Networks, SearchResult, Verification
from harness.runs.run import Run, RunConfig
from harness.runs.search import SearchRun, open_search, written_front
from harness.runs.stages import (
    fit_models,
    is_fitted,
    measure_for,
    search_to_end,
    tell_table,
    training,
    verify_front,
)
from harness.runs.study_run import StudyRun
from harness.store import Store

# Figures on held-out architectures: by metric, device and figure.
Figures = dict[str, dict[str, dict[str, float]]]


class Study:
    """A search: a task, a space and devices, and the run that holds what becomes of them.

    Every step first does what it needs that is missing, repeats nothing that is done, and goes on where an
    earlier one was interrupted, in this process or another. A step that writes holds the run against other
    writers meanwhile. Data, space and devices are looked up once, when they are first needed.

    A study of a run that was opened by its name reads what is there: its `front`, `verify` and `report`
    never search, while `search` and `run` continue it.

    Use it as a context manager, or call `close`. It is not for several threads at once.

    Attributes:
        config: what is searched, with all defaults filled in.
    """

    config: RunConfig

    def __init__(
        self,
        space: str = "nasbench201",
        task: str = "digits",
        devices: str | Sequence[str] = ("cpu",),
        preset: str = "quick",
        *,
        accuracy: str | AccuracyFunction = "supernet",
        seed: int = 0,
        data_dir: str | Path | None = None,
        name: str | None = None,
        objectives: str | Sequence[str] = ("error", "latency"),
        constraints: Mapping[str, float] | Sequence[str] = (),
        scheme: str | None = None,
        estimator: str | None = None,
        evaluations: int = 100,
        choice: str = "active",
        refine: int | None = None,
        accelerator: str = "auto",
        weights: str | Path | None = None,
        freeze_weights: bool = False,
        bfloat16: bool = False,
        hypernetwork: str | None = None,
        measure: int = 0,
        progress: Progress | None = None,
        store: Store | None = None,
    ) -> None:
        """Nothing is measured, trained or written yet; equal arguments give the same run.

        Args:
            space, task, preset: names; the preset has the space's sizes and the times.
            devices: names, NAME or NAME@BATCH, in a list or separated by commas.
            accuracy: `supernet`, or a model fitted on `evaluations` networks: `surrogate`, which are trained
                for it, `published`, whose accuracies were imported, or what another package offers; or a
                function that gives the errors, in percent, of a list of architectures, and what it says is
                what the model is fitted on.
            choice: of these networks: `active`, near the fronts that are expected, or `random`.
            refine: architectures that the refinement of a front scores; 0: fronts are as the
                MetaHypernetwork says; None: the preset's.
            seed: of everything random.
            data_dir: folder of the task's files.
            name: of the run; by default one that says what it is.
            objectives: `error` and hardware metrics, such as `latency` and `peak_memory`.
            constraints: below which a metric is good enough, normalised (0 to 1), such as
                `{"latency": 0.2}`, or texts such as `latency=0.2`.
            scheme: `mgd`, `mean`, `sequential` or `sample`; None: the preset's.
            estimator: `reinmax` or `gdas`; None: the preset's.
            accelerator: where networks are trained: `auto`, `cpu` or `cuda`.
            weights: file that the supernetwork's weights start from; `freeze_weights`: they stay as they are.
            bfloat16: run the supernetwork in bfloat16 where that is safe.
            hypernetwork: `conditioned` on the device, taught by imitation, or the `paper`'s; None: the
                preset's, which is `conditioned` unless it says otherwise.
            measure: networks to measure on each device while the search runs, besides those of the profile;
                the predictors learn from them.
            progress: told how far the work has come (see `harness.core.progress`).
            store: instead of the home's own; it stays open.

        Raises:
            UsageError: something is wrong with the arguments.
            DeviceUnavailableError: `cuda` is asked for, and there is none.
        """
        weights = None if weights is None else typed_path(weights)
        self._set_up(progress, store)
        try:
            self.config = resolve_config(
                lambda spec: self.device(spec).id,
                space=space,
                task=task,
                devices=devices,
                preset=preset,
                accuracy=accuracy,
                seed=seed,
                data_dir=None if data_dir is None else Path(data_dir),
                objectives=objectives,
                constraints=_texts(constraints),
                scheme=scheme,
                estimator=estimator,
                evaluations=evaluations,
                choice=choice,
                refine=refine,
                accelerator=accelerator,
                weights=weights,
                freeze_weights=freeze_weights,
                bfloat16=bfloat16,
                hypernetwork=hypernetwork,
                measure=measure,
            )
        except BaseException:
            self.close()
            raise
        function = accuracy if callable(accuracy) else None
        shared = (self._store, self._progress, self.device)
        self._run = StudyRun(self.config, *shared, name=name, weights=weights, function=function)

    @classmethod
    def open(cls, run: str | Path, progress: Progress | None = None, store: Store | None = None) -> Study:
        """The study of a run that is there, by its name or its folder. Raises UsageError."""
        found = Run.open(str(run))
        study = cls.__new__(cls)
        study._set_up(progress, store)
        study.config = found.config
        shared = (study._store, study._progress, study.device)
        study._run = StudyRun(study.config, *shared, opened=found)
        return study

    def _set_up(self, progress: Progress | None, store: Store | None) -> None:
        self._progress = progress or silent
        self._store, self._owns_store = store or Store(), store is None
        self._devices: dict[str, DeviceProfile | TableDevice] = {}
        self._state: SearchRun | None = None
        self._fronts: dict[tuple[str, int | None], Front] = {}

    def close(self) -> None:
        """Let go of the store. What was done stays."""
        if self._owns_store:
            self._store.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """Folder of the run, whether or not it is there yet; its name is the run's.

        Raises UsageError, TaskError: the data that the run is to begin with cannot be found.
        """
        return self._run.path

    def device(self, name: str) -> DeviceProfile | TableDevice:
        """A device by name, NAME or NAME@BATCH. Raises UsageError."""
        if name not in self._devices:
            found = find_device(name, self._store)
            self._devices[name] = self._devices[found.id] = found
        return self._devices[name]

    def run(
        self, verify: bool = True, on_verified: Callable[[Verification], None] | None = None
    ) -> SearchResult:
        """All steps, as `modnas-hw search` takes them.

        Args:
            verify: train and measure what was found.
            on_verified: told of each device as soon as it is verified.

        Raises as `search`, `verify` and `report` do.
        """
        with self._run.claimed() as run:
            fronts = self.search()
            results: dict[str, Verification] = {}
            for device in self.config.devices if verify else ():
                results[device] = self.verify(device)
                if on_verified:
                    on_verified(results[device])
            return {
                "run": run.name,
                "data": list(self._run.notes),
                "report": str(write_report(run, self._store)),
                "fronts": fronts,
                "verification": results,
            }

    def measure(self) -> dict[str, ProfileReport]:
        """Measure what the predictors need on every device; the values of imported tables are looked up.

        Raises:
            UsageError: data, weights or a table cannot be used, or are not those that the run began with.
            DeviceUnavailableError: a device is or goes away; what was measured stays.
            InUseError: another process writes into the run.
        """
        reports = {}
        with self._run.claimed() as run:
            space = self._run.made.space
            wanted = profile_sample(run, space)
            for name in run.config.devices:
                tell_table(run, name, space, self._store, self._progress)
                reports[name] = measure_for(
                    run, self.device(name), space, wanted, store=self._store, progress=self._progress
                )
        return reports

    def fit(self) -> Figures:
        """Fit the predictors, and the accuracy surrogate if there is to be one; figures of the predictors.

        Raises as `measure` does, and TrainingError, DatasetError.
        """
        with self._run.claimed() as run:
            if not is_fitted(run):
                self.measure()
                fit_models(run, self._run.made, self._store, self._progress, self._run.function)
            figures: Figures = run.read_json("predictor.json")
            return figures

    def search(self) -> dict[str, list[FrontEntry]]:
        """Search to the end and write down the fronts, by device. Raises as `fit` does."""
        with self._run.claimed() as run:
            self._state = None  # an interrupted one is not where its checkpoint is
            self._fronts.clear()
            self.measure()
            fit_models(run, self._run.made, self._store, self._progress, self._run.function)
            state = open_search(run, self._store, self._run.weights, self._run.made)
            fronts = search_to_end(state, self._store, self._progress, self.device)
            self._state = state
            return fronts

    def front(self, device: str, preferences: int | None = None) -> Front:
        """The front of a device: as the search wrote it down, or read now for one that it was not about.

        Args:
            device: any whose reference architectures are measured.
            preferences: evenly spread ones to answer; by default as many as the search.

        Raises:
            UsageError: no such device, too few preferences, or other data than the run began with.
            DatasetError: the device's reference architectures are not measured.
        """
        wanted = self._check_wanted(device, preferences)
        if wanted not in self._fronts:
            self._fronts[wanted] = self._read_front(self._searched(), *wanted)
        return self._fronts[wanted]

    def networks(self, device: str, folder: str | Path, preferences: int | None = None) -> Networks:
        """Write the networks of a device's front into a folder: trained, as ONNX files, with a list.

        Raises as `front` does, and as `export_front`.
        """
        from harness.runs.front_export import LIST, export_front  # what it needs for text is slow to import

        self._check_wanted(device, preferences)
        self._searched()
        self._run.check_data()
        found = cast(list[dict[str, Any]], self.front(device, preferences)["architectures"])
        with training(self._progress, "training what was found") as on_evaluation:
            document = export_front(self._read(), found, self._store, Path(folder), on_evaluation)
        self._say(f"{len(found)} networks and {LIST} written to {folder}")
        return cast(Networks, document)

    def verify(self, device: str) -> Verification:
        """Train and measure a device's front, beside as many random architectures.

        Raises as `front` and `measure` do, and TrainingError.
        """
        target = self.device(device)
        with self._run.held(self._searched()) as run:
            self._run.check_data()
            return verify_front(
                run, self._read(), target, self._store, progress=self._progress, function=self._run.function
            )

    def report(self) -> Path:
        """Write the report of what there is so far; its path. Raises UsageError."""
        return write_report(self._searched(), self._store)

    def _searched(self) -> Run:
        """The run to read from: as it was opened, else searched now if it has not been."""
        if self._run.found is None:
            self.search()
        found = self._run.found
        assert found is not None
        return found

    def _read(self) -> SearchRun:
        """The search to read from, as it stood when it was first read; drawn up once."""
        if self._state is None:
            run = self._searched()
            self._state = open_search(run, self._store, self._run.weights, self._run.made)
            if not is_recorded(run.config):
                text = "is older than records of data: whether they are still the same cannot be told"
                self._say(f"run {run.name} {text}")
        return self._state

    def _check_wanted(self, device: str, preferences: int | None) -> tuple[str, int | None]:
        """What front is wanted, by the device's id. Raises UsageError."""
        count = len(self.config.objectives)
        if preferences is not None and preferences < count:
            raise UsageError(f"run {self.folder.name} has {count} objectives: as many --preferences")
        return self.device(device).id, preferences

    def _read_front(self, run: Run, device: str, preferences: int | None) -> Front:
        written = written_front(run, device, preferences)
        if written is not None and not is_there(run.config):
            entries, table = written, run.read_json("front.json").get("tables", {}).get(device)
            folder = run.config.data_dir
            self._say(f"run {run.name}: its data are gone from {folder}; the front is as it was found")
        else:
            state = self._read()
            entries = state.front(self._store, device, preferences)
            table = tell_table(run, device, state.space, self._store, self._progress)
        front: Front = {"run": run.name, "device": device, "architectures": cast(list[FrontEntry], entries)}
        if table:
            front["table"] = table
        return front

    def _say(self, text: str) -> None:
        self._progress(Note(text))


def _texts(constraints: Mapping[str, float] | Sequence[str]) -> tuple[str, ...]:
    """Constraints as the command line has them."""
    if isinstance(constraints, str):
        return (constraints,)
    if isinstance(constraints, Mapping):
        return tuple(f"{metric}={bound}" for metric, bound in constraints.items())
    return tuple(constraints)
