"""INA2xx power monitors (INA219, INA226, INA260, ...) through the kernel's hwmon tree.

https://docs.kernel.org/hwmon/ina2xx.html: `in1_input` in mV is the bus voltage, `curr1_input` is in mA and
`power1_input` in µW.
"""

from __future__ import annotations

import re
from pathlib import Path

from modnas_agent.sensors.base import PolledSensor, SensorError
from modnas_agent.sensors.sysfs import hwmon_chips, required_number, update_period_s

CHIP = re.compile(r"ina2\d\d")


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
        self.read()

    def read(self) -> float:
        if self._has_power:
            return required_number(self._folder / "power1_input") / 1e6
        millivolts = required_number(self._folder / "in1_input")
        return millivolts * required_number(self._folder / "curr1_input") / 1e6
