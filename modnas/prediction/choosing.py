"""Further measurements of a device, taken where they tell most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from modnas.prediction.measured import Measured
from modnas.prediction.meta import MetaPredictor
from modnas.spaces import Architecture, Space

# What is measured before the next are chosen: each choice then knows more, and each waits for the device.
_BATCH = 5
_CANDIDATES = 300


def candidates(space: Space, seed: int) -> list[Architecture]:
    """What further measurements are chosen from: drawn uniformly."""
    count = min(_CANDIDATES, max(1, space.size // 2))
    return space.sample(count, torch.Generator().manual_seed(2 + seed))


def measure_chosen(
    predictor: MetaPredictor,
    references: ArrayLike,
    among: Sequence[Architecture],
    measure: Callable[[Sequence[Architecture]], ArrayLike],
    count: int,
) -> Measured:
    """Measure `count` architectures besides the references, a few at a time, each time the most telling ones.

    Args:
        references: of the device, see `DeviceTable.features`.
        among: see `MetaPredictor.choose`.
        measure: architectures -> their values, in the unit of the references.
    """
    found: list[Architecture] = []
    values: NDArray[np.float64] = np.empty(0)
    while len(found) < count:
        known = Measured(found, values)
        chosen = predictor.choose(among, references, known, count=min(_BATCH, count - len(found)))
        if not chosen:
            break
        values = np.concatenate([values, np.asarray(measure(chosen), np.float64)])
        found += chosen
    return Measured(found, values)
