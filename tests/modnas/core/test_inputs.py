"""Inputs of networks: what can be and what cannot."""

from __future__ import annotations

from typing import Any

import pytest

from modnas import InputSpec
from modnas.core.errors import InputError


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"shape": (0,)},
        {"shape": (-1, 3)},
        {"shape": (2.0,)},
        {"dtype": "bfloat16"},
        {"dtype": "object"},
        {"range": (1.0, 0.0)},
        {"range": (0.0, float("nan"))},
        {"range": (float("-inf"), 0.0)},
        {"dtype": "int64", "range": (0.0, 9.0)},
        {"dtype": "int64", "range": (0, 2**60)},
        {"dtype": "int8", "range": (0, 200)},
        {"dtype": "bool", "range": (0, 2)},
        {"dtype": "float16", "range": (0.0, 1e6)},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        InputSpec(**{"name": "input", "shape": (3,), **fields})


def test_a_batch_is_a_first_dimension() -> None:
    spec = InputSpec("ids", (2, 9), "int64", (1, 59))
    assert spec.batched(4) == InputSpec("ids", (4, 2, 9), "int64", (1, 59))
    assert InputSpec("number", ()).batched(3).shape == (3,)
