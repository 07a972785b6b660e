"""What a search is asked for, checked and resolved: objectives, bounds, scheme, source of the accuracies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from harness.core.errors import DeviceUnavailableError, UsageError
from harness.core.numerals import read_number
from harness.datasets.task_content import absolute
from harness.presets import get_preset
from harness.runs.accuracy import AccuracyFunction
from harness.runs.run import RunConfig
from harness.runs.starting_weights import weights_sha256
from harness.runs.surrogate import LEAST_EVALUATIONS
from harness.store.metrics import get_metric
from modnas.accuracy.evaluated import Choice
from modnas.search.estimators import Estimator
from modnas.search.gradients import Scheme
from modnas.spaces import space_names
from modnas.tasks import task_names

# Where accuracies come from: weight sharing, or a model of networks that are trained, or published.
ACCURACIES = ("supernet", "surrogate", "published")
ACCELERATORS = ("auto", "cpu", "cuda")
# MetaHypernetworks by name, each learning as it learns best.
HYPERNETWORKS: dict[str, dict[str, Any]] = {
    "paper": {"hypernetwork": "paper", "learning": "gradients"},
    "conditioned": {"hypernetwork": "conditioned", "learning": "imitation"},
}
DEFAULT_HYPERNETWORK = "conditioned"


@dataclass(frozen=True)
class SearchOptions:
    """Options of `search` beyond the preset, as they were typed; `resolve` checks them.

    Args:
        objectives: names separated by commas: `error`, which is always one, and hardware metrics.
        constraints: bounds such as `latency=0.2`, normalised (see `apply_constraints`).
        scheme, estimator: None: the preset's.
        accuracy: `supernet`, or a model fitted on `evaluations` networks: `surrogate`, which are trained, or
            `published`, whose accuracies were imported; or the user's function that says them.
        choice: of these networks: `active`, near the fronts that are expected, or `random`.
        refine: architectures that a front's refinement scores; 0: none is refined; None: the preset's.
        accelerator: where networks are trained: `auto` takes a CUDA GPU if there is one.
        weights: a file that the supernetwork starts from (see `modnas.spaces.Space.load_weights`).
        freeze_weights: search on these weights without training them.
        bfloat16: run the supernetwork in bfloat16 where that is safe.
        hypernetwork: which MetaHypernetwork is trained (see `HYPERNETWORKS`); None: the preset's.
    """

    objectives: str = "error,latency"
    constraints: tuple[str, ...] = ()
    scheme: str | None = None
    estimator: str | None = None
    accuracy: str | AccuracyFunction = "supernet"
    evaluations: int = 100
    choice: str = "active"
    refine: int | None = None
    accelerator: str = "auto"
    weights: Path | None = None
    freeze_weights: bool = False
    bfloat16: bool = False
    hypernetwork: str | None = None

    def resolve(self) -> dict[str, Any]:
        """Fields of a `RunConfig`. Raises UsageError, and DeviceUnavailableError when there is no GPU."""
        return {
            **self._accuracy(),
            "objectives": self._objectives(),
            "accelerator": self._accelerator(),
            "weights_sha256": self._weights(),
        }

    def _accuracy(self) -> dict[str, Any]:
        if not callable(self.accuracy) and self.accuracy not in ACCURACIES:
            raise UsageError(f"--accuracy {self.accuracy}: it is one of {', '.join(ACCURACIES)}")
        if self.choice not in get_args(Choice):
            raise UsageError(f"--choice {self.choice}: it is one of {', '.join(get_args(Choice))}")
        if self.accuracy == "supernet":
            return {"evaluations": None}
        if self.evaluations < LEAST_EVALUATIONS:
            raise UsageError(
                f"--evaluations {self.evaluations}: there is nothing to fit an accuracy surrogate on; "
                f"evaluate at least {LEAST_EVALUATIONS} networks"
            )
        found: dict[str, Any] = {"evaluations": self.evaluations, "choice": self.choice}
        if callable(self.accuracy):
            name = getattr(self.accuracy, "__qualname__", type(self.accuracy).__qualname__)
            return {**found, "evaluated_by": "function", "accuracy_function": name}
        return {**found, "evaluated_by": "published"} if self.accuracy == "published" else found

    def settings(self) -> dict[str, Any]:
        """What replaces settings of the preset's search. Raises UsageError."""
        switches = {"freeze_weights": self.freeze_weights, "bfloat16": self.bfloat16}
        changed: dict[str, Any] = {name: True for name, on in switches.items() if on}
        for name, value, known in (
            ("scheme", self.scheme, get_args(Scheme)),
            ("estimator", self.estimator, get_args(Estimator)),
        ):
            if value is not None:
                if value not in known:
                    raise UsageError(f"--{name} {value}: it is one of {', '.join(known)}")
                changed[name] = value
        if self.hypernetwork is not None:
            if self.hypernetwork not in HYPERNETWORKS:
                raise UsageError(
                    f"--hypernetwork {self.hypernetwork}: it is one of {', '.join(HYPERNETWORKS)}"
                )
            changed |= HYPERNETWORKS[self.hypernetwork]
        if self.constraints:
            bounds = {get_metric(name).name: bound for name, bound in map(_bound, self.constraints)}
            metrics = self._objectives()[1:]
            if unknown := [name for name in bounds if name not in metrics]:
                raise UsageError(
                    f"--constraint {unknown[0]}=...: it is no hardware metric of --objectives, which are "
                    f"{', '.join(metrics)}"
                )
            changed["constraints"] = [bounds.get(metric) for metric in metrics]
        return changed

    def _weights(self) -> str | None:
        if self.weights is None:
            if self.freeze_weights:
                raise UsageError(
                    "--freeze-weights: initial weights say nothing; give others with --weights FILE"
                )
            return None
        if self.accuracy != "supernet":
            raise UsageError(f"--weights: a supernetwork's; there is none with --accuracy {self.accuracy}")
        return weights_sha256(self.weights)

    def _objectives(self) -> tuple[str, ...]:
        """`error` and the metrics by their own names, in the order in which they were given."""
        names = [part.strip() for part in self.objectives.split(",") if part.strip()]
        try:
            metrics = [get_metric(name).name for name in names if name != "error"]
        except UsageError as error:
            raise UsageError(f"--objectives {self.objectives}: {error}") from error
        if not metrics or len(set(metrics)) < len(metrics) or names.count("error") > 1:
            raise UsageError(
                f"--objectives {self.objectives}: name at least one metric beside the error, and each once, "
                "such as error,latency"
            )
        return ("error", *metrics)

    def _accelerator(self) -> Literal["cpu", "cuda"]:
        if self.accelerator not in ACCELERATORS:
            raise UsageError(f"--accelerator {self.accelerator}: it is one of {', '.join(ACCELERATORS)}")
        there = torch.cuda.is_available()
        if self.accelerator == "cuda" and not there:
            raise DeviceUnavailableError(
                "--accelerator cuda: PyTorch finds no CUDA GPU; take cpu, or install a driver and PyTorch's "
                "build for CUDA"
            )
        return "cuda" if there and self.accelerator != "cpu" else "cpu"


def resolve_config(
    options: SearchOptions,
    find: Callable[[str], str],
    *,
    space: str,
    task: str,
    data_dir: Path | None,
    devices: str | Sequence[str],
    preset: str,
    seed: int,
) -> RunConfig:
    """The configuration of a search.

    Args:
        find: gives a device's id for its name, and raises UsageError where there is none.
        devices: names, in a list or separated by commas.

    Raises UsageError, and DeviceUnavailableError when there is no GPU.
    """
    if space not in space_names():
        raise UsageError(f"no space {space!r}; known: {', '.join(space_names())}")
    if task not in task_names():
        raise UsageError(f"no task {task!r}; known: {', '.join(task_names())}")
    parts = devices.split(",") if isinstance(devices, str) else devices
    ids = tuple(find(part.strip()) for part in parts if part.strip())
    if not ids or len(set(ids)) < len(ids):
        told = devices if isinstance(devices, str) else ",".join(devices)
        raise UsageError(f"--devices {told}: name at least one device, and each once")
    settings = get_preset(space, preset)
    return RunConfig(
        **options.resolve(),
        space=space,
        task=task,
        data_dir=absolute(task, data_dir),
        devices=ids,
        preset=preset,
        settings=settings.model_copy(
            update={
                "search": {
                    **HYPERNETWORKS[DEFAULT_HYPERNETWORK],
                    **settings.search,
                    **options.settings(),
                },
                "refine": settings.refine if options.refine is None else options.refine,
            }
        ),
        seed=seed,
    )


def _bound(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        bound = read_number(value)
    except ValueError:
        bound = -1.0
    if not 0 <= bound <= 1:
        raise UsageError(
            f"--constraint {text}: give METRIC=BOUND with a bound from 0 to 1, such as latency=0.2"
        )
    return name.strip(), bound
