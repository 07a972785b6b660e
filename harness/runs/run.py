"""Run directories: `runs/<name>/` with the resolved configuration and everything a search leaves behind.

config.json          what was asked, with all defaults filled in
data.json.gz         the files of the task's data when the run began: names, sizes, hashes
notes.json           what of the data is used and what is not, in words
lock.json            who is writing here now (see `harness.core.lock`)
predictor.*          the MetaPredictor (safetensors and JSON)
known.json           with measuring in the loop, what it was fitted on at first
in-the-loop.json     what was measured since (see `harness.runs.loop_record`)
references.json      what its devices took for the reference architectures when it was fitted
surrogate.*          the accuracy surrogate, if the run has one in place of a supernetwork
checkpoint.*         the search's state after its last finished epoch (safetensors and JSON)
events/              TensorBoard
front.json           the front of each device, predicted
verification.json    predicted beside measured
report.html
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from harness.core.errors import ModnasHwError, UsageError
from harness.core.home import is_half_written, read_kept, subfolder, write_atomically
from harness.core.lock import LOCK, check_free, locked
from harness.core.tensors import load_tensors, save_tensors
from harness.datasets.fingerprint import Fingerprint
from harness.presets import Preset
from harness.store import content_key
from modnas.accuracy.evaluated import Choice
from modnas.core.bounded import TooLargeError, gunzip
from modnas.core.supernetwork import NoSupernetworkError
from modnas.spaces import Space, get_space
from modnas.tasks import AnyTask, get_task
from modnas.tasks.published import PUBLISHED

# How a run says that networks are trained, or that a function of the user's gives their errors; every other
# source has the name that `--accuracy` takes.
BY_TRAINING, BY_FUNCTION = "training", "function"
# Settings that the first runs did not have, with what they were then.
_SINCE = {
    "weights_sha256": None,
    "choice": "random",
    "evaluated_by": BY_TRAINING,
    "accuracy_function": None,
    "measure": 0,
}

# Bytes of the data's listing, unpacked: some 8 million files.
_LARGEST_DATA = 1 << 30


class RunConfig(BaseModel):
    """A search, fully resolved. Two searches with equal configurations are the same run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str
    task: str
    # Absolute. Says where the data were found last: what they are, their content says.
    data_dir: str | None = None
    # Of the data's content; None: it cannot change (see `harness.runs.inputs`), or the run is from before
    # contents were recorded.
    data_sha256: str | None = None
    # Of the values in force of each device that is an imported table, by device and metric.
    tables: dict[str, dict[str, str]] | None = None
    devices: tuple[str, ...]
    objectives: tuple[str, ...] = ("error", "latency")
    preset: str
    settings: Preset
    seed: int = 0
    # Networks evaluated to fit the accuracy surrogate on; None: the task loss is a supernetwork's.
    evaluations: int | None = None
    # Which networks these are, and how their errors are found.
    choice: Choice = "random"
    evaluated_by: str = BY_TRAINING
    # The function's name, or package and version that have the source.
    accuracy_function: str | None = None
    # Networks that are measured on each device while the search runs, besides those of the profile.
    measure: Annotated[int, Field(ge=0)] = 0
    # Of the file that the supernetwork's weights are from; None: initial ones. Whether they are frozen is a
    # setting of the search.
    weights_sha256: str | None = None
    # Where networks are trained; resolved, so that a continued run stays where it was.
    accelerator: Literal["cpu", "cuda"] = "cpu"

    @property
    def default_name(self) -> str:
        """Readable, and different for different configurations."""
        devices = "+".join(self.devices)
        if len(devices) > 80:  # a folder's name has at most 255 bytes
            devices = f"{len(self.devices)}-devices"
        digest = content_key(self.identity)[:6]
        return f"{self.space}-{self.task}-{self.preset}-{devices}-s{self.seed}-{digest}"

    @property
    def identity(self) -> dict[str, Any]:
        """What two configurations of one run have in common: all but where its data lie, if their content is
        known.
        """
        # Runs from before there were these settings keep their names.
        absent = {name for name, value in _SINCE.items() if getattr(self, name) == value}
        known = {"data_dir"} if self.data_sha256 is not None else set()
        return self.model_dump(mode="json", exclude=absent | known)

    @model_serializer(mode="wrap")
    def _without_absent_inputs(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = write(self)
        return {k: v for k, v in document.items() if v is not None or k not in ("data_sha256", "tables")}

    def make_task(self) -> AnyTask:
        """The task's data. Raises TaskError."""
        data_dir = Path(self.data_dir) if self.data_dir else None
        if self.evaluated_by == "published" and data_dir is None and self.task in PUBLISHED:
            return PUBLISHED[self.task]
        task = get_task(self.task, data_dir, seed=0, limit=self.settings.task_limit)
        if self.settings.task_side is not None:
            task = task.resized(self.settings.task_side)
        if self.settings.score_images is not None:
            task = task.scored_on(self.settings.score_images)
        return task

    def make_space(self, task: AnyTask) -> Space:
        """The space with networks that fit the task.

        Raises NoSupernetworkError where it has no supernetwork and the search is to train one.
        """
        space = get_space(
            self.space, **self.settings.space, classes=task.classes, input_shape=task.input_shape
        )
        if self.evaluations is None and not space.has_supernetwork:
            raise NoSupernetworkError(space.name)
        return space


class TaskAndSpace:
    """The task and the space of a configuration, each made once, when it is first needed."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    @cached_property
    def task(self) -> AnyTask:
        """The task's data. Raises TaskError."""
        return self._config.make_task()

    @cached_property
    def space(self) -> Space:
        """The space with networks that fit the task. Raises TaskError."""
        return self._config.make_space(self.task)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]{0,199}")
_DATA = "data.json.gz"
# The run's devices' measurements of the reference architectures, by metric and device. What is measured later
# does not change a search that has begun.
REFERENCES = "references.json"


def _read_config(folder: Path) -> RunConfig:
    """The configuration of a run. Raises OSError, and UsageError when it is damaged."""
    path = folder / "config.json"
    try:
        return RunConfig.model_validate_json(read_kept(path))
    except ValueError as error:
        raise UsageError(
            f"run {folder.name}: {path} is damaged or of another version; delete the folder to start again"
        ) from error


def _differences(there: RunConfig, wanted: RunConfig) -> str:
    """Which settings of two configurations differ, and how where that is short."""
    parts = []
    for name in there.identity.keys() | wanted.identity.keys():
        old, new = getattr(there, name), getattr(wanted, name)
        if old != new:
            short = not isinstance(old, (BaseModel, dict)) and not name.endswith("sha256")
            parts.append(f"{name} {old}, not {new}" if short else name)
    return "; ".join(sorted(parts))


class Run:
    """One run directory."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path, self.config = path, config

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @classmethod
    def at(cls, config: RunConfig, name: str | None = None) -> Run:
        """Where the run for a configuration is or would be. Raises UsageError when `name` is no name."""
        if name is not None and not _NAME.fullmatch(name):
            raise UsageError(f"run name {name!r}: give 1 to 200 letters, digits or any of _ . + @ -")
        return cls(subfolder("runs") / (name or config.default_name), config)

    @classmethod
    def start(cls, config: RunConfig, name: str | None = None, data: Fingerprint | None = None) -> Run:
        """The run for a configuration: a new folder, or the one that is there to be continued.

        Args:
            data: what `config.data_sha256` is of; kept, to say later what has changed.

        Raises:
            UsageError: `name` is no name, or belongs to a run with another configuration.
        """
        run = cls.at(config, name)
        run.path.mkdir(exist_ok=True)
        there = run.stored_config()
        if there is None:
            run._check_new()
        if there is not None and not run.has_learned:  # what it would have learned from may still change
            inputs = {"data_dir": config.data_dir, "data_sha256": config.data_sha256, "tables": config.tables}
            there = there.model_copy(update=inputs)
        if there is not None and there.identity != config.identity:
            raise UsageError(
                f"run {run.name} exists with other settings ({_differences(there, config)}); choose another "
                f"--run NAME or delete {run.path}"
            )
        if data is not None and not run.has_learned:
            content = json.dumps(data.document(), separators=(",", ":"))
            write_atomically(run.path / _DATA, gzip.compress(content.encode(), 6, mtime=0))
        if run.stored_config() != config:
            run.write_json("config.json", config.model_dump(mode="json"))
        return run

    def _check_new(self) -> None:
        """Raise UsageError when the folder, which is no run yet, holds somebody else's files."""
        names = [path.name for path in self.path.iterdir()]
        begun = ("config.json", _DATA)
        foreign = [
            name
            for name in names
            if name not in (LOCK, _DATA) and not any(is_half_written(name, one) for one in begun)
        ]
        if foreign:
            raise UsageError(
                f"{self.path} holds files that are no run's ({min(foreign)}, ...); choose another --run NAME"
            )

    @classmethod
    @contextmanager
    def claim(
        cls, config: RunConfig, name: str | None = None, data: Fingerprint | None = None
    ) -> Iterator[Run]:
        """`start`, with the run held against other writers. Raises also InUseError."""
        run = cls.at(config, name)
        run.path.mkdir(exist_ok=True)
        if run.stored_config() is None:
            run._check_new()
        with run.held():
            yield cls.start(config, name, data)

    @classmethod
    def open(cls, name: str) -> Run:
        """An existing run by name or path; a name is that of a run in the home if there is one.

        Raises UsageError.
        """
        runs = subfolder("runs")
        path = Path(name).absolute()
        if _NAME.fullmatch(name) and ((runs / name).is_dir() or not (path / "config.json").is_file()):
            path = runs / name
        try:
            return cls(path, _read_config(path))
        except OSError as error:
            known = ", ".join(sorted(p.name for p in runs.iterdir())) or "none"
            raise UsageError(f"no run {name!r} in {runs}; known: {known}") from error

    def check_free(self) -> None:
        """Raise InUseError when another process writes here now."""
        check_free(self.path, f"run {self.name}")

    def held(self) -> AbstractContextManager[None]:
        """Hold the run against other writers; to be entered. Raises InUseError then."""
        return locked(self.path, f"run {self.name}")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Turn a complaint about a part of the run into one that names the run."""
        try:
            yield
        except ValueError as error:
            raise ModnasHwError(f"run {self.name}: {error}; delete {self.path} to start it again") from error

    def stored_config(self) -> RunConfig | None:
        """The configuration that the run began with, None where none is written. Raises UsageError."""
        try:
            return _read_config(self.path)
        except FileNotFoundError:
            return None

    def stored_data(self) -> Fingerprint | None:
        """The content of the data when the run began, None where it is not recorded or cannot be read."""
        try:
            document = json.loads(gunzip(self.path / _DATA, _LARGEST_DATA))
            return Fingerprint.from_document(document)
        except (OSError, EOFError, zlib.error, TooLargeError, RecursionError):
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    @property
    def has_learned(self) -> bool:
        """Whether anything has come of the run: a predictor, from which the rest follows."""
        return self.has("predictor.json")

    def has(self, file: str) -> bool:
        """Whether a file of the run is there."""
        return (self.path / file).is_file()

    def write_json(self, file: str, content: Any) -> None:
        """Replace a JSON file as a whole."""
        write_atomically(self.path / file, json.dumps(content, indent=1, allow_nan=False))

    def read_json(self, file: str) -> Any:
        """Read a JSON file of the run. Raises UsageError when it is missing or damaged."""
        try:
            return json.loads(read_kept(self.path / file))
        except FileNotFoundError as error:
            raise UsageError(f"run {self.name} has no {file} yet; run modnas-hw search first") from error
        except ValueError as error:
            raise ModnasHwError(f"run {self.name}: {file} is damaged; delete it and search again") from error

    def save_state(self, stem: str, tensors: Mapping[str, Tensor], meta: Any) -> None:
        """Write `<stem>.safetensors` with `meta` as JSON inside it."""
        save_tensors(self.path / f"{stem}.safetensors", tensors, meta)

    def load_state(self, stem: str) -> tuple[dict[str, Tensor], Any]:
        """Read what `save_state` wrote. Raises TensorFileError."""
        return load_tensors(self.path / f"{stem}.safetensors")
