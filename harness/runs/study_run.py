"""The run of a study: what it rests on, looked up once, and the run held while a step writes into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.home import subfolder
from harness.core.progress import Note, Progress
from harness.datasets.fingerprint import Fingerprint
from harness.devices.profile import DeviceProfile
from harness.devices.table import TableDevice
from harness.measure.session import DeviceSession
from harness.runs.accuracy import AccuracyFunction, accuracy_source
from harness.runs.data_check import check_data
from harness.runs.evaluation import Subject
from harness.runs.inputs import complete, require_place, why_another
from harness.runs.lookup import check_searchable
from harness.runs.run import BY_TRAINING, Run, RunConfig, TaskAndSpace
from harness.runs.stages import is_fitted
from harness.runs.starting_weights import check_weights
from harness.store import Store


class StudyRun:
    """A run that a study continues, begins, or reads.

    Args:
        config: of the run, without what it rests on.
        store, progress: the study's.
        device: the study's way to find a device.
        opened: the run as it was opened by its name, if it was.
        name: of the run; None: one that says what it is.
        weights: file that a supernetwork starts from.
        function: the user's that says accuracies.

    Attributes:
        made: its task and space.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store,
        progress: Progress,
        device: Callable[[str], DeviceProfile | TableDevice],
        *,
        opened: Run | None = None,
        name: str | None = None,
        weights: Path | None = None,
        function: AccuracyFunction | None = None,
    ) -> None:
        self.config, self.weights, self.function = config, weights, function
        self.made = TaskAndSpace(config)
        self._store, self._progress, self._device = store, progress, device
        self._opened, self._name = opened, opened.name if opened else name
        self._claim: Run | None = None  # the run while it is held

    @property
    def path(self) -> Path:
        """The run's folder, whether or not it is there yet. Raises UsageError, TaskError."""
        return (self._opened or self._begun).path

    @property
    def found(self) -> Run | None:
        """The run to read from: as it is held or was opened, else if it has been searched.

        Raises as `path` does.
        """
        if self._claim is not None or self._opened is not None:
            return self._claim or self._opened
        there = self._begun.stored_config()
        searched = there is not None and there.identity == self._begun.config.identity
        return self._begun if searched and self._begun.has("front.json") else None

    @contextmanager
    def claimed(self) -> Iterator[Run]:
        """The run to be continued, begun if it is not there, and held against other writers."""
        if self._claim is not None:
            yield self._claim
            return
        (config, data), notes = self._content, self.notes
        with Run.claim(config, self._name, data) as run:
            self._say("\n".join([f"run {run.name}", *notes]))
            run.write_json("notes.json", {"notes": notes})
            if self._name is None and not run.has_learned and (why := why_another(run, data)):
                self._say(why)
            self._claim = run
            try:
                yield run
            finally:
                self._claim = None

    @contextmanager
    def held(self, run: Run) -> Iterator[Run]:
        """A run that was `found`, held against other writers."""
        if run is self._claim:
            yield run
        else:
            with run.held():
                yield run

    def check_data(self) -> tuple[str, ...]:
        """Look at all data, once; what is to be said of them.

        Raises UsageError where they are gone, and as `harness.runs.data_check.check_data`.
        """
        return self._data_notes

    @cached_property
    def _data_notes(self) -> tuple[str, ...]:
        if self._opened is not None:  # it can say more of a folder that is gone than the task
            require_place(self._opened)
        return check_data(self.config, self.made.task, self._progress)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of data and weights, once everything has been looked at that can be wrong."""
        config, run, made = self._begun.config, self._begun, self.made
        run.check_free()
        notes = check_weights(config, self.weights, made) if self.weights is not None else ()
        if config.evaluated_by != BY_TRAINING and not is_fitted(run):
            accuracy_source(Subject(run, made.space, made.task), self._store, "valid", self.function)
        for name in config.devices:
            device = self._device(name)
            if isinstance(device, TableDevice):
                check_searchable(config, made.space, self._store, device.id)
            else:
                with DeviceSession(device):
                    pass
        return (*self._data_notes, *notes)

    @cached_property
    def _content(self) -> tuple[RunConfig, Fingerprint]:
        """The configuration with what it rests on now, and the content of its data."""
        runs = subfolder("runs")
        if self._opened and self._opened.path.parent != runs:
            raise UsageError(
                f"run {self._opened.path} lies outside {runs}, so that it can be read but not continued; "
                "move it there, or set MODNAS_HOME"
            )
        return complete(self.config, self._store, self._name, self._say, self.made)

    @property
    def _begun(self) -> Run:
        """The run with what it rests on now."""
        return Run.at(self._content[0], self._name)

    def _say(self, text: str) -> None:
        self._progress(Note(text))
