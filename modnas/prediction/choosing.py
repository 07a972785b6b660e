"""Further measurements of a device, taken where they tell most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from numpy.typing import ArrayLike

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
    measure: Callable[[Sequence[Architecture]], Mapping[Architecture, float]],
    count: int,
) -> Measured:
    """Measure `count` architectures besides the references, a few at a time, each time the most telling ones.

    Args:
        references: of the device, see `DeviceTable.features`.
        among: see `MetaPredictor.choose`.
        measure: architectures -> the values of those that have one, in the unit of the references. For one
            that has none another is chosen.
    """
    values: dict[Architecture, float] = {}
    open_ones = dict.fromkeys(among)
    while len(values) < count:
        known = Measured(list(values), list(values.values()))
        left = min(_BATCH, count - len(values))
        chosen = predictor.choose(list(open_ones), references, known, count=left)
        if not chosen:
            break
        values.update(measure(chosen))
        for one in chosen:
            del open_ones[one]
    return Measured(list(values), list(values.values()))
