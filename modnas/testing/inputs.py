"""Inputs drawn at random, within what they may be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from modnas.core.inputs import InputSpec


def random_inputs(inputs: Sequence[InputSpec], batch: int, seed: int = 0) -> list[Tensor]:
    """A batch of each input, whose shapes are without the batch dimension."""
    generator = torch.Generator().manual_seed(seed)
    return [_draw(spec.batched(batch), generator) for spec in inputs]


def _draw(spec: InputSpec, generator: torch.Generator) -> Tensor:
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point:
        low, high = spec.range or (-1.0, 1.0)
        return (low + (high - low) * torch.rand(spec.shape, generator=generator)).to(dtype)
    least, greatest = spec.range or ((0, 1) if dtype == torch.bool else (0, 99))
    return torch.randint(int(least), int(greatest) + 1, spec.shape, generator=generator).to(dtype)
