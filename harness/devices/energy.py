"""The model that guesses an energy where nothing measures one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core.errors import UsageError
from harness.devices.profile import DeviceProfile
from harness.store import Measurement

#: From a microcontroller to several accelerators in one package; nan is in no range.
MIN_TDP_W = 0.001
MAX_TDP_W = 5000.0


@dataclass(frozen=True)
class EnergyModel:
    """A guess where nothing measures: the chip takes its thermal design power for as long as it computes.

    Real chips take less on one core and more in bursts: modelled values order networks like their latencies
    do, and are never stored.
    """

    tdp_w: float
    name: str = "tdp"

    @classmethod
    def named(cls, name: str, profile: DeviceProfile, tdp_w: float | None) -> EnergyModel:
        """The model for a device.

        Raises UsageError for another name, and without a thermal design power or with one no chip has.
        """
        if name != "tdp":
            raise UsageError(f"no energy model {name!r}; there is tdp")
        watts = tdp_w if tdp_w is not None else profile.tdp_w
        if watts is None:
            raise UsageError(
                f"energy model tdp: the thermal design power of {profile.name} is not known; "
                "give --tdp-w WATTS or tdp_w in its profile"
            )
        if not MIN_TDP_W <= watts <= MAX_TDP_W:
            raise UsageError(
                f"energy model tdp: {watts:g} W is no thermal design power of a chip "
                f"({MIN_TDP_W:g} to {MAX_TDP_W:g} W); correct --tdp-w, or tdp_w of {profile.name}"
            )
        return cls(watts)

    def energy_mj(self, row: Measurement) -> float | None:
        """Modelled energy of an inference; None where there is no latency."""
        return None if row.latency_ms is None else self.tdp_w * row.latency_ms
