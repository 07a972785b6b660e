"""The networks of a front as files for an application: trained, in ONNX, with a list of what they are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from harness.core.errors import ModnasHwError, UsageError
from harness.core.home import read_kept, write_atomically
from harness.core.system_errors import told
from harness.export.onnx_graph import to_onnx
from harness.export.probe import probe
from harness.runs.evaluation import evaluate_architectures, trained_weights, weights_file
from harness.runs.search import SearchRun
from harness.store import Evaluation, Store
from modnas.core.task import WithFiles
from modnas.core.weights import set_weights
from modnas.spaces import Architecture

LIST = "networks.json"


def export_front(
    state: SearchRun,
    entries: Sequence[dict[str, Any]],
    store: Store,
    folder: Path,
    on_evaluation: Callable[[Evaluation, bool], None] | None = None,
) -> dict[str, Any]:
    """Write the networks of a front into a folder; those that have not been trained yet are trained first.

    A file `N.onnx` for each, N from 1 in the order of the front, and `networks.json`, which says what they
    are. What else a task's networks need, such as a translator's vocabulary, is written beside them.

    Args:
        entries: as `SearchRun.front` gives them.
        folder: made if it is missing; what an earlier export wrote there is replaced, nothing else is.

    Returns:
        What `networks.json` holds: `space`, `variant`, `task` and `networks`, the entries with `file` and
        `error` (percent, test split).

    Raises:
        UsageError: the folder cannot be written, or has other files of these names.
        ExportError: a network cannot be written as ONNX.
    """
    files = state.task.files if isinstance(state.task, WithFiles) else {}
    names = [f"{number}.onnx" for number in range(1, len(entries) + 1)]
    with _writable(folder):  # before hours of training
        folder.mkdir(parents=True, exist_ok=True)
        _check_folder(folder, files.keys(), names)
    space, config = state.space, state.run.config
    architectures = [space.parse(entry["arch"]) for entry in entries]
    evaluations = evaluate_architectures(state, architectures, store, on_evaluation, weights_wanted=True)
    document: dict[str, Any] = {"space": space.name, "variant": space.variant, "task": config.task}
    with _writable(folder):
        document["networks"] = [
            {**entry, "file": name, "error": evaluations[architecture].error}
            for name, entry, architecture in zip(names, entries, architectures, strict=True)
        ]
        # First: whose files these are is known from it, also when this is interrupted.
        write_atomically(folder / LIST, json.dumps(document, indent=1))
        for name, content in files.items():
            write_atomically(folder / name, content)
        for network, architecture in zip(document["networks"], architectures, strict=True):
            model = _onnx(state, architecture, evaluations[architecture])
            write_atomically(folder / network["file"], model)
    return document


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Raise UsageError where the folder is none, or cannot be written."""
    try:
        yield
    except FileExistsError as error:
        raise UsageError(f"{folder} cannot be written (it is no folder); name another folder") from error
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({told(error, folder)}); name another folder"
        ) from error


def _check_folder(folder: Path, files: Collection[str], networks: Sequence[str]) -> None:
    """Raise UsageError when a file that is about to be written is there and is not from an earlier export.

    `files`: those of the task.
    """
    try:
        listed = json.loads(read_kept(folder / LIST))["networks"]
        ours = {LIST, *files, *(network["file"] for network in listed)}
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    written = [LIST, *files, *networks]
    foreign = [name for name in written if name not in ours and os.path.lexists(folder / name)]
    if foreign:
        raise UsageError(
            f"{folder} has a file {foreign[0]} that is not of an earlier export; name another folder"
        )


def _onnx(state: SearchRun, architecture: Architecture, evaluation: Evaluation) -> bytes:
    space = state.space
    network = space.network(architecture)
    try:
        set_weights(network, trained_weights(evaluation))
    except ValueError as error:
        path = weights_file(evaluation.key)
        raise ModnasHwError(f"{path}: {error}; delete it and give the command again") from error
    if space.writer is not None:
        return space.writer.deployed(network.eval())
    inputs = [spec.batched(1) for spec in space.inputs(architecture)]
    with torch.inference_mode():
        output = network.eval()(*probe(inputs))
    content: bytes = to_onnx(network, inputs, tuple(output.shape)).SerializeToString()
    return content
