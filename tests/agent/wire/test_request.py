"""Checking a request field by field."""

from __future__ import annotations

from typing import Any

import pytest
from modnas_agent.wire.request import RequestError, Timing, parse_measure

VALID: dict[str, Any] = {
    "op": "measure",
    "id": "m",
    "artifact": {"path": "model.onnx", "sha256": "a" * 64},
    "backend": {"name": "onnxruntime", "options": {}},
    "inputs": [{"name": "input", "shape": [1, 3], "dtype": "float32"}],
}


def test_an_input_is_float32_in_the_usual_range_unless_told() -> None:
    inputs = [{"name": "a", "shape": [1]}, {"name": "b", "shape": [2], "dtype": "int64", "range": [1, 59]}]
    first, second = parse_measure({**VALID, "inputs": inputs}).inputs
    assert (first.dtype, first.limits) == ("float32", None)
    assert (second.dtype, second.limits) == ("int64", (1, 59))


def test_a_request_has_defaults() -> None:
    request = parse_measure(VALID)
    assert request.timing == Timing() and request.expected is None and request.memory_limit_mb is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "x" * 201}, "id"),
        ({"artifact": {"path": "x", "sha256": "abc"}}, "sha256"),
        ({"artifact": {"path": "", "sha256": "a" * 64}}, "path"),
        ({"inputs": [{"name": "x", "shape": [-1]}]}, "shape"),
        ({"inputs": [{"name": "x", "shape": [1], "dtype": "object"}]}, "dtype"),
        ({"inputs": "x"}, "inputs"),
        ({"inputs": [{"name": "x", "shape": [1], "dtype": "int64", "range": [1]}]}, "range"),
        ({"inputs": [{"name": "x", "shape": [1], "dtype": "int64", "range": [3, 1]}]}, "range"),
        ({"inputs": [{"name": "x", "shape": [1], "dtype": "int64", "range": [0, 1.5]}]}, "range"),
        ({"inputs": [{"name": "x", "shape": [1], "dtype": "int8", "range": [0, 200]}]}, "range"),
        ({"inputs": [{"name": "x", "shape": [1], "dtype": "float16", "range": [0, 1e6]}]}, "range"),
        ({"expected": ["1"]}, "expected"),
        ({"tolerance": True}, "tolerance"),
        ({"protocol": {"precision": 0}}, "precision"),
        ({"protocol": {"min_samples": "many"}}, "min_samples"),
        ({"backend": {"name": "x", "options": {"threads": 0}}}, "threads"),
        ({"backend": {"name": "x", "options": {"threads": 1.5}}}, "threads"),
        ({"backend": {"name": "x", "options": {"affinity": "all"}}}, "affinity"),
        ({"backend": {"name": "x", "options": {"affinity": [True]}}}, "affinity"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError, match=field):
        parse_measure({**VALID, **change})
