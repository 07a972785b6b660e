"""RAPL: energy counters of Intel and AMD processors, through the kernel's powercap tree.

https://docs.kernel.org/power/powercap/powercap.html describes the files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Sequence

from modnas_agent.energy.sensors.base import COUNTER, Bounds, PolledSensor, Sample, SensorError
from modnas_agent.energy.sensors.sysfs import required_number
from modnas_agent.files import read_number, read_text

PERMISSION_MEND = "allow it until the next boot with: sudo chmod a+r /sys/class/powercap/*/energy_uj"
#: A processor may go beyond its limits for the milliseconds until they act, and their setting may be low.
LIMIT_FACTOR = 4.0
#: For a domain that names no limit (AMD's do not): four times what the largest processors may take.
FALLBACK_W = 2000.0
#: Firmware without a limit fills the field: 4095 W is common.
NO_LIMIT_W = 1000.0


class Rapl(PolledSensor):
    """Sum of the chosen top-level domains, unwrapped.

    Args:
        domain: `package` (all packages; the default), one of them such as `package-0`, or `psys` (the whole
            platform, where there is one). Domains nested in a package (core, uncore) are part of it, and
            psys contains the packages: adding any of these would count energy twice.
    """

    quantity = COUNTER
    # The counters move about every millisecond; this often is enough for them and disturbs little.
    period_s = 0.05

    def __init__(self, sysfs_root: Path, domain: str = "package") -> None:
        chosen = _choose(_top_level(sysfs_root), domain)
        if domain == "package":
            _check_complete(chosen, sysfs_root)
        self.name = "rapl:" + "+".join(sorted(chosen))
        self._counters = [_Domain(folder) for _, folder in sorted(chosen.items())]
        self.bounds = _bounds(self._counters, self.period_s)
        self.read()

    def read(self) -> float:
        return sum(counter.read_uj() for counter in self._counters) / 1e6

    def poll(self) -> Sequence[Sample]:
        before = sum(counter.wraps for counter in self._counters)
        (sample,) = super().poll()
        return [sample._replace(wrapped=sum(counter.wraps for counter in self._counters) > before)]


def _top_level(sysfs_root: Path) -> dict[str, Path]:
    """Domains by name. The MMIO interface tells of the same package again: it counts where it is alone."""
    found: dict[str, Path] = {}
    powercap = sysfs_root / "class" / "powercap"
    for control in ("intel-rapl", "intel-rapl-mmio"):
        for folder in sorted(powercap.glob(f"{control}:*")):
            name = read_text(folder / "name")
            if not name or folder.name.count(":") != 1:
                continue
            known = found.setdefault(name, folder)
            if known is not folder and known.name.startswith(f"{control}:"):
                raise SensorError(f"RAPL has two domains {name} ({known.name}, {folder.name})")
    return found


def _choose(domains: dict[str, Path], wanted: str) -> dict[str, Path]:
    if wanted == "package":
        chosen = {name: folder for name, folder in domains.items() if name.startswith("package")}
    else:
        chosen = {name: folder for name, folder in domains.items() if name == wanted}
    if not chosen:
        there = ", ".join(sorted(domains)) or "none"
        raise SensorError(f"RAPL has no domain {wanted} (top-level domains: {there})")
    return chosen


def _check_complete(chosen: dict[str, Path], sysfs_root: Path) -> None:
    """Every processor of the board must have its domain, or the sum leaves one out."""
    files = (sysfs_root / "devices" / "system" / "cpu").glob("cpu[0-9]*/topology/physical_package_id")
    processors = {number for number in map(read_number, files) if number is not None}
    told = {match.group(1) for match in map(re.compile(r"package-(\d+)").match, chosen) if match}
    if len(processors) > len(told):
        raise SensorError(
            f"RAPL tells only of {', '.join(sorted(chosen))} and the board has {len(processors)} processors; "
            "name one with the option domain"
        )


def _bounds(counters: Sequence[_Domain], period_s: float) -> Bounds:
    """The sum of the domains' limits."""
    return Bounds(
        sum(counter.limit(period_s)[0] for counter in counters),
        " and ".join(counter.limit(period_s)[1] for counter in counters),
    )


class _Domain:
    """One counter; it wraps to zero at `max_energy_range_uj`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._range_uj = required_number(folder / "max_energy_range_uj", PERMISSION_MEND)
        if self._range_uj <= 0:
            raise SensorError(f"{folder / 'max_energy_range_uj'} holds {self._range_uj}, not a range")
        self._last_uj = self._now_uj()
        self._total_uj = 0
        #: How often it came back below its last reading.
        self.wraps = 0

    def read_uj(self) -> int:
        """Energy since construction: right as long as it is read once within a wrap and no step back was a
        reset, which `modnas_agent.energy.plausibility` tells by the power that a wrap would mean.
        """
        now_uj = self._now_uj()
        step_uj = now_uj - self._last_uj
        if step_uj < 0:
            step_uj += self._range_uj
            self.wraps += 1
        self._last_uj = now_uj
        self._total_uj += step_uj
        return self._total_uj

    def limit(self, period_s: float) -> tuple[float, str]:
        """The most it can tell in watts, and why: by the processor's own limits, and by the counter's range,
        of which no more than half may pass between two readings.
        """
        name = read_text(self._folder / "name")
        files = [
            *self._folder.glob("constraint_*_power_limit_uw"),
            *self._folder.glob("constraint_*_max_power_uw"),
        ]
        declared = [
            watts for watts in ((read_number(file) or 0) / 1e6 for file in files) if 0 < watts < NO_LIMIT_W
        ]
        limit_w, why = FALLBACK_W, f"{name} names no limit"
        if declared:
            limit_w, why = LIMIT_FACTOR * max(declared), f"{LIMIT_FACTOR:g} times the limit of {name}"
        of_range_w = self._range_uj / 1e6 / (2.0 * period_s)
        return min((limit_w, why), (of_range_w, f"half the range of {name} between two readings"))

    def _now_uj(self) -> int:
        now_uj = required_number(self._folder / "energy_uj", PERMISSION_MEND)
        if now_uj < 0:
            raise SensorError(f"{self._folder / 'energy_uj'} holds {now_uj}: a counter of energy has no sign")
        return now_uj
