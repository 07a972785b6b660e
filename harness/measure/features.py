"""A device's vector: its reference architectures, measured where the store lacks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.core.progress import Progress, silent
from harness.datasets.predictors import kept_predictor
from harness.datasets.training_sets import Features, device_features, device_values
from harness.devices.table import TableDevice, find_device, table_origin
from harness.measure.profile_devices import measure_on
from harness.store import Measurement, Store
from harness.store.metrics import get_metric
from modnas.prediction.choosing import candidates, measure_chosen
from modnas.spaces import Architecture, Space


@dataclass(frozen=True)
class DeviceVector:
    """The vector of a device for a space.

    Args:
        table: what its values rest on if nothing was measured here.
        further: values of architectures that were measured because they tell most, in the metric's unit.
    """

    space: Space
    features: Features
    table: dict[str, Any] | None
    further: Mapping[Architecture, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        further = [{"arch": a.id, "value": value} for a, value in self.further.items()]
        return {
            "device": self.features.device,
            "space": self.space.name,
            "variant": self.space.variant,
            "references": [architecture.id for architecture in self.space.references],
            get_metric(self.features.metric).key: list(self.features.values),
            "vector": self.features.vector.tolist(),
            **({"table": self.table} if self.table else {}),
            **({"further": further} if further else {}),
        }


def measure_features(
    device: str,
    space: Space,
    metric: str,
    store: Store,
    progress: Progress = silent,
    *,
    count: int | None = None,
) -> DeviceVector:
    """The vector of a device; what is missing of it is measured.

    Args:
        count: measure so many architectures in all: besides the references those that the predictor kept for
            the space chooses, because it knows least of them. It uses them whenever it predicts the device.

    Raises:
        UsageError: no such device or metric; or no predictor that could choose.
        DatasetError: a reference architecture has no value.
        DeviceUnavailableError: the device is or goes away.
    """
    asked = get_metric(metric)
    target = find_device(device, store)
    further = 0 if count is None else count - len(space.references)
    predictor = kept_predictor(space, metric) if further > 0 else None

    def measure(some: Sequence[Architecture]) -> Measurement | None:
        if isinstance(target, TableDevice):
            return None
        return measure_on(target, space, some, store, metrics=(asked,), progress=progress).rows[0]

    def values(some: Sequence[Architecture]) -> dict[Architecture, float]:
        known = device_values(store, target.id, space, metric, measure(some))
        return {a: known[a] for a in some if a in known}

    like = measure(space.references)
    found = device_features(store, target.id, space, metric, like)
    origin = table_origin(store, target.id, space, metric)
    if predictor is None:
        return DeviceVector(space, found, origin)
    chosen = measure_chosen(predictor, found.values, candidates(space, seed=0), values, further)
    given = dict(zip(chosen.architectures, np.asarray(chosen.values).tolist(), strict=True))
    return DeviceVector(space, found, origin, given)
