"""The networks of a front as files for an application: trained, in ONNX, with a list of what they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from harness.errors import UsageError
from harness.evaluation import evaluate_architectures, trained_weights
from harness.export.onnx_graph import to_onnx
from harness.export.transformer_graphs import greedy_onnx
from harness.home import write_atomically
from harness.search_run import SearchRun
from harness.store import Evaluation, Store
from modnas.spaces import Architecture
from modnas.spaces.transformer.network import TransformerNetwork
from modnas.tasks.translation import TranslationTask

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
    are. A translator decodes greedily (see `greedy_onnx`); its vocabulary is written beside it.

    Args:
        entries: as `SearchRun.front` gives them.
        folder: made if it is missing; files of the same names are replaced.

    Returns:
        What `networks.json` holds: `space`, `variant`, `task` and `networks`, the entries with `file` and
        `error` (percent, test split).

    Raises:
        UsageError: the folder cannot be written.
        ExportError: a network cannot be written as ONNX.
    """
    space, config = state.space, state.run.config
    architectures = [space.parse(entry["arch"]) for entry in entries]
    evaluations = evaluate_architectures(state, architectures, store, on_evaluation, weights_wanted=True)
    document: dict[str, Any] = {"space": space.name, "variant": space.variant, "task": config.task}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(state.task, TranslationTask):
            write_atomically(folder / "vocabulary.model", state.task.vocabulary.serialized_model_proto())
        document["networks"] = [
            {
                **entry,
                "file": f"{number}.onnx",
                "error": evaluations[architecture].error,
            }
            for number, (entry, architecture) in enumerate(zip(entries, architectures, strict=True), 1)
        ]
        for network, architecture in zip(document["networks"], architectures, strict=True):
            content = _onnx(state, architecture, evaluations[architecture])
            write_atomically(folder / network["file"], content)
        write_atomically(folder / LIST, json.dumps(document, indent=1))
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror}); name another folder") from error
    return document


def _onnx(state: SearchRun, architecture: Architecture, evaluation: Evaluation) -> bytes:
    network = state.space.network(architecture)
    network.load_state_dict(trained_weights(evaluation))
    if isinstance(network, TransformerNetwork):
        model = greedy_onnx(network)
    else:
        shape = (1, *state.space.input_shape_of(architecture))
        with torch.inference_mode():
            output = network.eval()(torch.zeros(shape))
        model = to_onnx(network, shape, tuple(output.shape))
    content: bytes = model.SerializeToString()
    return content
