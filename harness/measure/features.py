"""A device's vector: its reference architectures, measured where the store lacks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.core.progress import Progress, silent
from harness.datasets.training_sets import Features, device_features
from harness.devices.table import TableDevice, find_device, table_origin
from harness.measure.profile_devices import measure_on
from harness.store import Store
from harness.store.metrics import get_metric
from modnas.spaces import Space


@dataclass(frozen=True)
class DeviceVector:
    """The vector of a device for a space. `table`: what its values rest on if nothing was measured here."""

    space: Space
    features: Features
    table: dict[str, Any] | None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "device": self.features.device,
            "space": self.space.name,
            "variant": self.space.variant,
            "references": [architecture.id for architecture in self.space.references],
            get_metric(self.features.metric).key: list(self.features.values),
            "vector": self.features.vector.tolist(),
            **({"table": self.table} if self.table else {}),
        }


def measure_features(
    device: str, space: Space, metric: str, store: Store, progress: Progress = silent
) -> DeviceVector:
    """The vector of a device; what is missing of it is measured.

    Raises:
        UsageError: no such device or metric.
        DatasetError: a reference architecture has no value.
        DeviceUnavailableError: the device is or goes away.
    """
    asked = get_metric(metric)
    target, like = find_device(device, store), None
    if not isinstance(target, TableDevice):
        wanted = list(space.references)
        like = measure_on(target, space, wanted, store, metrics=(asked,), progress=progress).rows[0]
    found = device_features(store, target.id, space, metric, like)
    return DeviceVector(space, found, table_origin(store, target.id, space, metric))
