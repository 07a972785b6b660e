"""Run directories: `runs/<name>/` with the resolved configuration and everything a search leaves behind.

config.json          what was asked, with all defaults filled in
data.json            what of the data is used and what is not, in words
predictor.*          the MetaPredictor (safetensors and JSON)
surrogate.*          the accuracy surrogate, if the run has one in place of a supernetwork
checkpoint.*         the search's state after its last finished epoch (safetensors and JSON)
events/              TensorBoard
front.json           the front of each device, predicted
verification.json    predicted beside measured
report.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from harness.errors import ModnasHwError, UsageError
from harness.home import subfolder, write_atomically
from harness.presets import Preset
from harness.store import content_key
from harness.tensors import load_tensors, save_tensors
from modnas.spaces import Space, get_space
from modnas.tasks import AnyTask, get_task


class RunConfig(BaseModel):
    """A search, fully resolved. Two searches with equal configurations are the same run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str
    task: str
    data_dir: str | None = None
    devices: tuple[str, ...]
    objectives: tuple[str, ...] = ("error", "latency")
    preset: str
    settings: Preset
    seed: int = 0
    # Networks trained to fit the accuracy surrogate on; None: the task loss is a supernetwork's.
    evaluations: int | None = None
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
        # Runs from before there were weights keep their names.
        absent = {"weights_sha256"} if self.weights_sha256 is None else None
        digest = content_key(self.model_dump(mode="json", exclude=absent))[:6]
        return f"{self.space}-{self.task}-{self.preset}-{devices}-s{self.seed}-{digest}"

    def make_task(self) -> AnyTask:
        """The task's data. Raises TaskError."""
        data_dir = Path(self.data_dir) if self.data_dir else None
        task = get_task(self.task, data_dir, seed=0, limit=self.settings.task_limit)
        if self.settings.task_side is not None:
            task = task.resized(self.settings.task_side)
        if self.settings.score_images is not None:
            task = task.scored_on(self.settings.score_images)
        return task

    def make_space(self, task: AnyTask) -> Space:
        """The space with networks that fit the task."""
        return get_space(
            self.space, **self.settings.space, classes=task.classes, input_shape=task.input_shape
        )


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]{0,199}")


def _read_config(folder: Path) -> RunConfig:
    """The configuration of a run. Raises OSError, and UsageError when it is damaged."""
    path = folder / "config.json"
    try:
        return RunConfig.model_validate_json(path.read_text())
    except ValueError as error:
        raise UsageError(
            f"run {folder.name}: {path} is damaged or of another version; delete the folder to start again"
        ) from error


class Run:
    """One run directory."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path, self.config = path, config

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @classmethod
    def start(cls, config: RunConfig, name: str | None = None) -> Run:
        """The run for a configuration: a new folder, or the one that is there to be continued.

        Raises UsageError when `name` is no name, or belongs to a run with another configuration.
        """
        if name is not None and not _NAME.fullmatch(name):
            raise UsageError(f"run name {name!r}: give 1 to 200 letters, digits or any of _ . + @ -")
        run = cls(subfolder("runs") / (name or config.default_name), config)
        run.path.mkdir(exist_ok=True)
        if (run.path / "config.json").exists():
            if _read_config(run.path) != config:
                raise UsageError(
                    f"run {run.name} exists with other settings; choose another --run NAME "
                    f"or delete {run.path}"
                )
        else:
            run.write_json("config.json", config.model_dump(mode="json"))
        return run

    @classmethod
    def open(cls, name: str) -> Run:
        """An existing run by name or path. Raises UsageError."""
        path = Path(name) if (Path(name) / "config.json").is_file() else subfolder("runs") / name
        try:
            return cls(path, _read_config(path))
        except OSError as error:
            known = ", ".join(sorted(p.name for p in subfolder("runs").iterdir())) or "none"
            raise UsageError(f"no run {name!r}; known: {known}") from error

    def has(self, file: str) -> bool:
        """Whether a file of the run is there."""
        return (self.path / file).is_file()

    def write_json(self, file: str, content: Any) -> None:
        """Replace a JSON file as a whole."""
        write_atomically(self.path / file, json.dumps(content, indent=1, allow_nan=False))

    def read_json(self, file: str) -> Any:
        """Read a JSON file of the run. Raises UsageError when it is missing or damaged."""
        try:
            return json.loads((self.path / file).read_text())
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
