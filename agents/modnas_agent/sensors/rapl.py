"""RAPL: energy counters of Intel and AMD processors, through the kernel's powercap tree.

https://docs.kernel.org/power/powercap/powercap.html describes the files.
"""

from __future__ import annotations

from pathlib import Path

from modnas_agent.files import read_text
from modnas_agent.sensors.base import COUNTER, PolledSensor, SensorError
from modnas_agent.sensors.sysfs import required_number

PERMISSION_MEND = "allow it until the next boot with: sudo chmod a+r /sys/class/powercap/*/energy_uj"


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
        self.name = "rapl:" + "+".join(sorted(chosen))
        self._counters = [_Domain(folder) for _, folder in sorted(chosen.items())]
        self.read()

    def read(self) -> float:
        return sum(counter.read_uj() for counter in self._counters) / 1e6


def _top_level(sysfs_root: Path) -> dict[str, Path]:
    """Domains by name. The MMIO interface tells of the same package again: it counts where it is alone."""
    found: dict[str, Path] = {}
    powercap = sysfs_root / "class" / "powercap"
    for control in ("intel-rapl", "intel-rapl-mmio"):
        for folder in sorted(powercap.glob(f"{control}:*")):
            name = read_text(folder / "name")
            if name and folder.name.count(":") == 1:
                found.setdefault(name, folder)
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


class _Domain:
    """One counter; it wraps to zero at `max_energy_range_uj`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range_uj = required_number(folder / "max_energy_range_uj", PERMISSION_MEND)
        self._last_uj = required_number(self._file, PERMISSION_MEND)
        self._total_uj = 0

    def read_uj(self) -> int:
        """Energy since construction; right as long as it is read once within a wrap."""
        now_uj = required_number(self._file, PERMISSION_MEND)
        step_uj = now_uj - self._last_uj
        if step_uj < 0:
            step_uj += self._range_uj
        self._last_uj = now_uj
        self._total_uj += step_uj
        return self._total_uj
