"""What a search is asked for, checked and resolved: objectives, bounds, scheme, source of the accuracies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from harness.core.errors import DeviceUnavailableError, UsageError
from harness.core.numerals import read_number
from harness.datasets.task_content import absolute
from harness.presets import HYPERNETWORKS, get_preset
from harness.runs.accuracy import ACCURACIES, AccuracyFunction, get_accuracy
from harness.runs.run import BY_FUNCTION, RunConfig
from harness.runs.starting_weights import weights_sha256
from harness.runs.surrogate import LEAST_EVALUATIONS
from harness.store.metrics import get_metric
from modnas.accuracy.evaluated import Choice
from modnas.core.registry import UnknownNameError
from modnas.search.estimators import Estimator
from modnas.search.gradients import Scheme
from modnas.spaces import space_names
from modnas.tasks import task_names

ACCELERATORS = ("auto", "cpu", "cuda")


def resolve_config(
    find: Callable[[str], str],
    *,
    space: str,
    task: str,
    devices: str | Sequence[str],
    preset: str,
    accuracy: str | AccuracyFunction,
    seed: int,
    data_dir: Path | None,
    objectives: str | Sequence[str],
    constraints: Sequence[str],
    scheme: str | None,
    estimator: str | None,
    evaluations: int,
    choice: str,
    refine: int | None,
    accelerator: str,
    weights: Path | None,
    freeze_weights: bool,
    bfloat16: bool,
    hypernetwork: str | None,
    measure: int,
) -> RunConfig:
    """The configuration of a search.

    Args:
        find: gives a device's id for its name, and raises UsageError where there is none.
        others: as of `harness.Study`; constraints are texts.

    Raises UsageError, PluginError, and DeviceUnavailableError when there is no GPU.
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
    wanted = _objectives(objectives)
    changed = {
        **_switched(freeze_weights=freeze_weights, bfloat16=bfloat16),
        **_chosen("scheme", scheme, get_args(Scheme)),
        **_chosen("estimator", estimator, get_args(Estimator)),
        **_hypernetwork(hypernetwork),
        **_bounds(constraints, wanted[1:]),
    }
    return RunConfig(
        **_evaluated(accuracy, evaluations, choice),
        objectives=wanted,
        accelerator=_accelerator(accelerator),
        weights_sha256=_weights(weights, freeze_weights, accuracy),
        space=space,
        task=task,
        data_dir=absolute(task, data_dir),
        devices=ids,
        preset=preset,
        settings=settings.model_copy(
            update={
                "search": {**settings.search, **changed},
                "refine": settings.refine if refine is None else refine,
            }
        ),
        seed=seed,
        measure=_measure(measure),
    )


def _measure(count: int) -> int:
    if count < 0:
        raise UsageError(f"--measure {count}: say how many networks each device measures, 0 or more")
    return count


def _evaluated(accuracy: str | AccuracyFunction, evaluations: int, choice: str) -> dict[str, Any]:
    """Which networks are evaluated for the search, and how."""
    if not callable(accuracy):
        try:
            get_accuracy(accuracy)
        except UnknownNameError as error:
            known = ", ".join(ACCURACIES.names())
            raise UsageError(f"--accuracy {accuracy}: it is one of {known}") from error
    if choice not in get_args(Choice):
        raise UsageError(f"--choice {choice}: it is one of {', '.join(get_args(Choice))}")
    if accuracy == "supernet":
        return {"evaluations": None}
    if evaluations < LEAST_EVALUATIONS:
        raise UsageError(
            f"--evaluations {evaluations}: there is nothing to fit an accuracy surrogate on; "
            f"evaluate at least {LEAST_EVALUATIONS} networks"
        )
    found: dict[str, Any] = {"evaluations": evaluations, "choice": choice}
    if callable(accuracy):
        name = getattr(accuracy, "__qualname__", type(accuracy).__qualname__)
        return {**found, "evaluated_by": BY_FUNCTION, "accuracy_function": name}
    if accuracy == "surrogate":
        return found
    return {**found, "evaluated_by": accuracy, "accuracy_function": ACCURACIES.origin(accuracy)}


def _switched(**switches: bool) -> dict[str, bool]:
    """Settings of the search that are on."""
    return {name: True for name, on in switches.items() if on}


def _chosen(name: str, value: str | None, known: Sequence[str]) -> dict[str, str]:
    """A setting of the search, where it is not left to the preset."""
    if value is None:
        return {}
    if value not in known:
        raise UsageError(f"--{name} {value}: it is one of {', '.join(known)}")
    return {name: value}


def _hypernetwork(name: str | None) -> dict[str, str]:
    """Which MetaHypernetwork, and how it learns, where that is not left to the preset."""
    chosen = _chosen("hypernetwork", name, [*HYPERNETWORKS])
    return HYPERNETWORKS[chosen["hypernetwork"]] if chosen else {}


def _bounds(constraints: Sequence[str], metrics: Sequence[str]) -> dict[str, list[float | None]]:
    """Bounds in the order of the metrics, where there are any."""
    given = [(get_metric(name).name, bound) for name, bound in map(_bound, constraints)]
    bounds = dict(given)
    if len(bounds) < len(given):
        raise UsageError(f"--constraint {constraints[-1]}: give each metric one bound")
    if unknown := [name for name in bounds if name not in metrics]:
        raise UsageError(
            f"--constraint {unknown[0]}=...: it is no hardware metric of --objectives, which are "
            f"{', '.join(metrics)}"
        )
    return {"constraints": [bounds.get(metric) for metric in metrics]} if bounds else {}


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


def _weights(weights: Path | None, frozen: bool, accuracy: str | AccuracyFunction) -> str | None:
    if weights is None:
        if frozen:
            raise UsageError("--freeze-weights: initial weights say nothing; give others with --weights FILE")
        return None
    if accuracy != "supernet":
        raise UsageError(f"--weights: a supernetwork's; there is none with --accuracy {accuracy}")
    return weights_sha256(weights)


def _objectives(given: str | Sequence[str]) -> tuple[str, ...]:
    """`error` and the metrics by their own names, in the order in which they were given."""
    told = given if isinstance(given, str) else ",".join(given)
    names = [part.strip() for part in told.split(",") if part.strip()]
    try:
        metrics = [get_metric(name).name for name in names if name != "error"]
    except UsageError as error:
        raise UsageError(f"--objectives {told}: {error}") from error
    if not metrics or len(set(metrics)) < len(metrics) or names.count("error") > 1:
        raise UsageError(
            f"--objectives {told}: name at least one metric beside the error, and each once, "
            "such as error,latency"
        )
    return ("error", *metrics)


def _accelerator(wanted: str) -> Literal["cpu", "cuda"]:
    if wanted not in ACCELERATORS:
        raise UsageError(f"--accelerator {wanted}: it is one of {', '.join(ACCELERATORS)}")
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceUnavailableError(
            "--accelerator cuda: PyTorch finds no CUDA GPU; take cpu, or install a driver and PyTorch's "
            "build for CUDA"
        )
    return "cuda" if there and wanted != "cpu" else "cpu"
