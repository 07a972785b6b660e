"""Multiply-adds that spaces tell, beside those that PyTorch counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from modnas.spaces import get_space


@pytest.mark.parametrize(
    ("name", "config", "tolerance"),
    [
        ("nasbench201", {"cells": 1}, 1e-6),
        ("nasbench201", {"channels": 4, "cells": 2, "classes": 7, "input_shape": (1, 8, 16)}, 1e-6),
        ("mobilenetv3", {}, 0.15),
        ("transformer", {"classes": 1000, "input_shape": (2, 10)}, 0.1),
    ],
)
def test_multiply_adds_are_those_that_are_executed(
    name: str, config: dict[str, Any], tolerance: float
) -> None:
    space = get_space(name, **config)
    chosen = space.references[:3]
    counted = []
    for architecture in chosen:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
            inputs = [spec.batched(1) for spec in space.inputs(architecture)]
            zeros = [torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in inputs]
            space.module(architecture).eval()(*zeros)
        counted.append(counter.get_total_flops() / 2)
    told = space.multiply_adds(chosen)
    assert told is not None and told.dtype == torch.float64
    assert told.tolist() == pytest.approx(counted, rel=tolerance)
