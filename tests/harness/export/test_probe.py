"""Inputs made on the host and by the agent are the same."""

from __future__ import annotations

import json

import torch
from modnas_agent.wire import request as wire
from modnas_agent.wire.fill import fill_inputs

from harness.export.probe import from_document, probe, to_document
from modnas.core import inputs
from modnas.core.inputs import InputSpec

SPECS = [
    InputSpec("pixels", (2, 3, 4, 4)),
    InputSpec("ids", (2, 9), "int64", (1, 59)),
    InputSpec("scale", (2,), "float16", (0.5, 8.0)),
    InputSpec("mask", (2, 9), "bool"),
]


def test_both_sides_know_the_same_types() -> None:
    assert inputs.LIMITS == wire.LIMITS


def test_what_crosses_the_wire_is_filled_alike() -> None:
    frame = {
        "op": "measure",
        "id": "m",
        "artifact": {"path": "x", "sha256": "a" * 64},
        "backend": {"name": "onnxruntime"},
        "inputs": json.loads(json.dumps([to_document(spec) for spec in SPECS])),
    }
    there = fill_inputs(wire.parse_measure(frame).inputs)
    for spec, tensor in zip(SPECS, probe(SPECS), strict=True):
        assert tensor.dtype == getattr(torch, spec.dtype) and tuple(tensor.shape) == spec.shape
        assert torch.equal(tensor, torch.from_numpy(there[spec.name]))
        assert (
            spec.range is None or spec.range[0] <= float(tensor.min()) <= float(tensor.max()) <= spec.range[1]
        )


def test_a_float_input_crosses_as_it_always_did() -> None:
    assert to_document(SPECS[0]) == {"name": "pixels", "shape": [2, 3, 4, 4], "dtype": "float32"}


def test_inputs_are_read_back() -> None:
    documents = json.loads(json.dumps([to_document(spec) for spec in SPECS]))
    assert [from_document(document) for document in documents] == SPECS
