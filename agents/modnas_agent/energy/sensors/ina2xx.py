"""INA2xx power monitors (INA219, INA226, INA260, ...) through the kernel's hwmon tree.

https://docs.kernel.org/hwmon/ina2xx.html: `in1_input` in mV is the bus voltage, `curr1_input` is in mA and
`power1_input` in µW. The power has no sign in some chips; the current has.
"""

from __future__ import annotations

import re
from pathlib import Path

from modnas_agent.energy.sensors.base import Bounds, PolledSensor, SensorError
from modnas_agent.energy.sensors.sysfs import (
    hwmon_chips,
    required_number,
    shunt_limit_a,
    update_period_s,
    within_range,
)

CHIP = re.compile(r"ina2\d\d")
#: Largest bus voltage in V and voltage over the shunt in mV that a chip converts (its data sheet).
RANGES = {
    **dict.fromkeys(("ina209", "ina219", "ina220"), (26.0, 320.0)),
    **dict.fromkeys(("ina226", "ina230", "ina231", "ina234"), (36.0, 81.92)),
    **dict.fromkeys(("ina228", "ina229", "ina237", "ina238", "ina239"), (85.0, 163.84)),
}
#: The INA260 has its shunt inside.
INTERNAL = {"ina260": (36.0, 15.0)}
REVERSED = "the monitor's shunt is reversed: swap its two sides"
#: Without a shunt that tells the range: 36 V and 30 A.
FALLBACK = Bounds(1e3, "for a shunt that is not told, 36 V and 30 A", negative_why=REVERSED)
#: Power and the product of voltage and current, read one after the other, agree within this factor.
UNITS_FACTOR = 30.0
MIN_COMPARED_W = 0.05


class Ina2xx(PolledSensor):
    """One chip.

    Args:
        chip: which one, as `hwmon3`; needed where there are several, for they may measure anything.
    """

    def __init__(self, sysfs_root: Path, chip: str | None = None) -> None:
        chips = {path.name: (name, path) for name, path in hwmon_chips(sysfs_root) if CHIP.fullmatch(name)}
        there = ", ".join(sorted(chips)) or "none"
        if not chips or (chip is not None and chip not in chips):
            raise SensorError(
                f"there is no INA2xx power monitor {chip or ''}".rstrip() + f" (found: {there})"
            )
        if chip is None and len(chips) > 1:
            raise SensorError(f"several INA2xx power monitors; name one with the option chip ({there})")
        kind, self._folder = chips[chip or next(iter(chips))]
        self.name = f"{kind}:{self._folder.name}"
        self.period_s = update_period_s(self._folder)
        self._has_power = (self._folder / "power1_input").exists()
        self._has_current = (self._folder / "curr1_input").exists()
        self._limit_a, self.bounds = _range(kind, self._folder)
        self._check_units()
        self.read()

    def read(self) -> float:
        if not self._has_power:
            return self._product_w()
        power_w = required_number(self._folder / "power1_input") / 1e6
        return -power_w if self._has_current and self._current_a() < 0 < power_w else power_w

    def _product_w(self) -> float:
        return required_number(self._folder / "in1_input") / 1e3 * self._current_a()

    def _current_a(self) -> float:
        current_a = required_number(self._folder / "curr1_input") / 1e3
        return within_range(current_a, self._limit_a, "the current")

    def _check_units(self) -> None:
        """`power1_input` against voltage times current, where the chip tells all three."""
        if not (self._has_power and self._has_current and (self._folder / "in1_input").exists()):
            return
        power_w, product_w = required_number(self._folder / "power1_input") / 1e6, abs(self._product_w())
        factor = power_w / product_w if min(power_w, product_w) > 0 else 1.0
        if max(power_w, product_w) > MIN_COMPARED_W and not 1 / UNITS_FACTOR < factor < UNITS_FACTOR:
            raise SensorError(
                f"{self.name}: power1_input tells {power_w:.3g} W, "
                f"but in1_input times curr1_input {product_w:.3g} W"
            )


def _range(kind: str, folder: Path) -> tuple[float | None, Bounds]:
    """The current at which the chip's range ends, if it is known, and the power that goes with it."""
    if kind in INTERNAL:
        volts, amperes = INTERNAL[kind]
    else:
        volts, millivolts = RANGES.get(kind, (0.0, 0.0))
        amperes = shunt_limit_a(folder / "shunt_resistor", millivolts) or 0.0
    if not amperes:
        return None, FALLBACK
    why = f"the range of the {kind}: {volts:g} V and, by its shunt, {amperes:.3g} A"
    return amperes, Bounds(volts * amperes, why, negative_why=REVERSED)
