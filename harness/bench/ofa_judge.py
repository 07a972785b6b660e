"""Latency of networks that the once-for-all tables do not hold: what fronts are judged by.

A search finds networks that nobody measured. Their latency on a device is taken from a model of the whole
table of the device, 5,000 networks: a constant, the image's area and its square, and for every block, kernel
and expansion a constant and a share that grows with the area of the image. That is a lookup table of blocks
as once-for-all's own, with its entries fitted instead of measured. It shares nothing with the predictor that
a search uses. How far it is off is measured by cross-validation (`Judge.relative_errors`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from harness.datasets.ofa import OfaTables
from modnas.spaces import Architecture
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.work import Decisions

Floats = NDArray[np.float64]

_RIDGE = 1e-3  # beside sums of squares of order one: only what the data leave open
_FOLDS = 5


def block_features(space: MobileNetV3, architectures: Sequence[Architecture]) -> Floats:
    """What the model is linear in: (n, 363)."""
    decisions = Decisions.of(space.encode(architectures).double())
    sides = torch.tensor(space.sides).double() / max(space.sides)
    area = (decisions.resolution @ sides.square()).unsqueeze(1)
    kinds = decisions.kernel.unsqueeze(3) * decisions.expansion.unsqueeze(2)
    blocks = (kinds.flatten(2) * decisions.live().unsqueeze(2)).flatten(1)
    parts = [torch.ones_like(area), area, area.square(), blocks, blocks * area]
    return np.asarray(torch.cat(parts, dim=1).numpy())


def _fit(features: Floats, values: Floats) -> Floats:
    """Weights of least squares in relative terms."""
    scaled = features / values[:, None]
    gram = scaled.T @ scaled + _RIDGE * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(gram, scaled.sum(0)))


class Judge:
    """Models of all devices of the tables."""

    def __init__(self, tables: OfaTables) -> None:
        self._tables = tables
        self._features = block_features(tables.space, tables.architectures)
        self._weights = {name: _fit(self._features, values) for name, values in tables.latency_ms.items()}

    def latency_ms(self, device: str, architectures: Sequence[Architecture]) -> Floats:
        """Modelled latency, (n,)."""
        return block_features(self._tables.space, architectures) @ self._weights[device]

    def relative_errors(self, device: str) -> Floats:
        """|modelled - measured| / measured of every network of the table, from a model without its fold."""
        measured = self._tables.latency_ms[device]
        order = np.random.default_rng(0).permutation(len(measured))
        errors = np.empty(len(measured))
        for fold in np.array_split(order, _FOLDS):
            rest = np.setdiff1d(order, fold)
            modelled = self._features[fold] @ _fit(self._features[rest], measured[rest])
            errors[fold] = np.abs(modelled - measured[fold]) / measured[fold]
        return errors
