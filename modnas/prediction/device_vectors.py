"""A device's vector: what it took for the reference architectures, min-max scaled over them.

Source: Lee et al., "HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via Meta-Learning", 2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


class ScaledReferences(NamedTuple):
    """Reference measurements of one device, or of several in rows.

    Attributes:
        values: scaled to [0, 1], (..., D).
        low: smallest of the D, in the metric's unit, (...).
        span: largest minus smallest, (...); 1 where all are equal, which makes their values 0.
    """

    values: Tensor
    low: Tensor
    span: Tensor


def scale_references(references: Tensor) -> ScaledReferences:
    """Scale raw measurements (..., D) over their last axis."""
    low, high = references.aminmax(dim=-1)
    span = high - low
    span = span.where(span > 0, torch.ones_like(span))
    return ScaledReferences((references - low.unsqueeze(-1)) / span.unsqueeze(-1), low, span)


def device_vector(references: Iterable[ArrayLike]) -> Tensor:
    """The vector of a device, float32: for each metric its D references, raw, scaled and put in a row."""
    raw = (torch.as_tensor(np.asarray(values, np.float64)) for values in references)
    return torch.cat([scale_references(values).values for values in raw]).float()


def known_device(name: str, references: ArrayLike, width: int) -> tuple[Tensor, float, float]:
    """A device's vector for one metric (D,), float32, with the minimum and range of what was measured.

    Raises ValueError as `checked_references` does.
    """
    values, low, span = scale_references(checked_references(name, references, width))
    return values.float(), float(low), float(span)


def checked_references(name: str, references: ArrayLike, width: int) -> Tensor:
    """Reference measurements as a float64 tensor (D,). Raises ValueError if they describe no device."""
    values = torch.as_tensor(np.array(references, np.float64))
    if values.shape != (width,):
        raise ValueError(f"{name}: {width} reference measurements expected, not {tuple(values.shape)}")
    if not (values.isfinite().all() and (values > 0).all()):
        raise ValueError(f"{name}: reference measurements must be positive numbers")
    if values.max() == values.min():
        raise ValueError(f"{name}: all references measured the same, so they describe no device")
    return values
