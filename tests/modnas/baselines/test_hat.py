"""HAT's evolutionary search under a bound."""

from __future__ import annotations

import pytest
import torch

from modnas.baselines import hat
from modnas.spaces.nasbench201 import NasBench201

pytestmark = pytest.mark.trains

SPACE = NasBench201()
COLUMNS = torch.cat([torch.arange(1.0, count + 1) for count in SPACE.options])


def latency(onehot: torch.Tensor) -> torch.Tensor:
    """Of an imaginary device: later options of a decision are slower."""
    return onehot @ COLUMNS


def error(onehot: torch.Tensor) -> torch.Tensor:
    """Of an imaginary task: slower is better."""
    return 100 - latency(onehot)


def test_evolution_comes_close_to_each_bound_and_keeps_it() -> None:
    bounds = [10.0, 17.0, 26.5]
    found = hat.search(SPACE, error, latency, bounds, seed=0)
    values = latency(SPACE.encode(found)).tolist()
    for value, bound in zip(values, bounds, strict=True):
        assert bound - 1 < value <= bound
    assert found == hat.search(SPACE, error, latency, bounds, seed=0)


def test_a_bound_that_nothing_keeps_gives_a_fast_one() -> None:
    (found,) = hat.search(SPACE, error, latency, [1.0], seed=0)
    sample = latency(SPACE.encode(SPACE.sample(200, torch.Generator().manual_seed(0))))
    assert SPACE.is_usable(found)
    assert float(latency(SPACE.encode([found]))[0]) <= float(sample.min())
