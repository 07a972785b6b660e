"""What was measured of one metric on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from modnas.prediction.device_vectors import checked_references
from modnas.spaces import Architecture, Space


@dataclass(frozen=True)
class DeviceTable:
    """Measurements of one metric on one device.

    Args:
        name: for messages and the saved description.
        features: the metric measured on `space.references`, in their order: (D,), positive, not all equal.
        architectures: n architectures of the space; may be empty, and may contain references.
        values: (n,), positive, the same unit as `features`.
        deviations: standard deviation of each value, as far as it is known, in their unit: (n,), 0 or more;
            uncertain values count less. None: nothing is known.
    """

    name: str
    features: ArrayLike
    architectures: Sequence[Architecture]
    values: ArrayLike
    deviations: ArrayLike | None = None

    def rows(self, chosen: Sequence[int]) -> DeviceTable:
        """The table with some of its architectures; the features stay."""
        some = [self.architectures[i] for i in chosen]
        values, known = np.asarray(self.values)[list(chosen)], self.deviations
        deviations = None if known is None else np.asarray(known)[list(chosen)]
        return DeviceTable(self.name, self.features, some, values, deviations)


class Measured(NamedTuple):
    """Measurements of a device besides its references; the fields are those of `DeviceTable`."""

    architectures: Sequence[Architecture]
    values: ArrayLike
    deviations: ArrayLike | None = None

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Values and deviations, float64 (n,). Raises ValueError for unusable ones."""
        return _checked("the device", len(self.architectures), self.values, self.deviations)


def _checked(name: str, count: int, values: ArrayLike, deviations: ArrayLike | None) -> tuple[Tensor, Tensor]:
    measured = np.array(values, np.float64)
    if measured.shape != (count,):
        raise ValueError(f"{name}: {measured.shape} values for {count} architectures")
    if not (np.isfinite(measured).all() and (measured > 0).all()):
        raise ValueError(f"{name}: values must be positive numbers")
    known = np.zeros(count) if deviations is None else np.array(deviations, np.float64)
    if known.shape != (count,) or not (np.isfinite(known).all() and (known >= 0).all()):
        raise ValueError(f"{name}: {count} standard deviations of 0 or more expected")
    return torch.from_numpy(measured), torch.from_numpy(known)


def measurements(space: Space, table: DeviceTable) -> tuple[Tensor, Tensor, Tensor]:
    """Encodings (n, width), values and deviations (n,) of a table, with the references that it lacks.

    Raises:
        ValueError: it is malformed, or its values are not positive.
    """
    values, deviations = _checked(table.name, len(table.architectures), table.values, table.deviations)
    features = checked_references(table.name, table.features, len(space.references))
    known = set(table.architectures)
    added = [i for i, a in enumerate(space.references) if a not in known]
    onehot = space.encode([*table.architectures, *(space.references[i] for i in added)])
    return onehot, torch.cat([values, features[added]]), torch.cat([deviations, torch.zeros(len(added))])
