"""The inputs on which a device's output is compared with PyTorch's: made here and there by one formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from modnas_agent.wire.fill import fill_inputs
from modnas_agent.wire.request import InputSpec as WireInput
from torch import Tensor

from modnas.core.inputs import InputSpec


def probe(inputs: Sequence[InputSpec]) -> tuple[Tensor, ...]:
    """What the agent feeds for inputs whose shapes have the batch dimension, in their order."""
    wired = [WireInput(spec.name, spec.shape, spec.dtype, spec.range) for spec in inputs]
    return tuple(torch.from_numpy(array) for array in fill_inputs(wired).values())


def to_document(spec: InputSpec) -> dict[str, Any]:
    """An input as a request and an artifact's description name it, JSON-able."""
    document = {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype}
    return document if spec.range is None else {**document, "range": list(spec.range)}


def from_document(document: Mapping[str, Any]) -> InputSpec:
    """Read what `to_document` writes. Raises ValueError, KeyError or TypeError."""
    limits = document.get("range")
    return InputSpec(
        document["name"],
        tuple(document["shape"]),
        document["dtype"],
        None if limits is None else (limits[0], limits[1]),
    )
