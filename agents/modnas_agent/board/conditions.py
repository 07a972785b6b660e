"""The state of the board around a measurement: load, frequency, temperature, throttling.

What the board does not tell is None, and so is what cannot be true: sensors that are switched off or count in
another unit. All paths hang on `sysfs_root` and `proc_root`: tests build trees.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Sequence

from modnas_agent.files import read_number, read_text

SYSFS = Path("/sys")
PROC = Path("/proc")

#: Low bits of the Raspberry Pi firmware's word: what holds now. Those above 15 only say what once happened.
RASPBERRY_PI_FLAGS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
RASPBERRY_PI_FILES = (
    "devices/platform/soc/soc:firmware/get_throttled",
    "devices/platform/axi/axi:firmware/get_throttled",
)
#: The word has 20 bits; a longer one is a driver's error code.
RASPBERRY_PI_BITS = 20
#: Of a clock in kHz: no CPU that runs a network is slower or faster. Hz or MHz lie beyond.
FREQUENCY_KHZ = (10_000, 20_000_000)
#: Of a zone in thousandths of a degree: silicon and the air around it. Zones switched off answer with errors,
#: absurd values or 0; those that count whole degrees seem to lie within one of zero.
ZONE_MC = (-40_000, 200_000)
LEAST_ZONE_MC = 1_000
#: The kernel's ticks and our clock may run apart by this factor.
LOAD_MARGIN = 1.1


def snapshot(cpus: Sequence[int], sysfs_root: Path = SYSFS, proc_root: Path = PROC) -> dict[str, Any]:
    """Conditions now: frequencies in MHz, means over `cpus`; the hottest zone's temperature in °C."""
    return {
        "load_average": load_average(proc_root),
        "governor": governor(cpus, sysfs_root),
        "frequency_mhz": _frequency_mhz(cpus, "scaling_cur_freq", sysfs_root),
        "max_frequency_mhz": _frequency_mhz(cpus, "scaling_max_freq", sysfs_root),
        "temperature_c": temperature_c(sysfs_root),
        "throttle_flags": throttle_flags(sysfs_root),
        "throttle_count": throttle_count(cpus, sysfs_root),
    }


def load_average(proc_root: Path = PROC) -> float | None:
    """Mean number of runnable processes over the last minute."""
    text = read_text(proc_root / "loadavg")
    try:
        load = math.nan if text is None else float(text.split()[0])
    except ValueError:
        return None
    return load if 0 <= load < math.inf else None


def _cpu_dir(cpu: int, sysfs_root: Path) -> Path:
    return sysfs_root / "devices" / "system" / "cpu" / f"cpu{cpu}"


def governor(cpus: Sequence[int], sysfs_root: Path = SYSFS) -> str | None:
    """The CPUs' frequency governor; several are joined by a comma."""
    found = {read_text(_cpu_dir(cpu, sysfs_root) / "cpufreq" / "scaling_governor") for cpu in cpus}
    return ",".join(sorted(name for name in found if name)) or None


def _frequency_mhz(cpus: Sequence[int], file: str, sysfs_root: Path) -> float | None:
    readings = [read_number(_cpu_dir(cpu, sysfs_root) / "cpufreq" / file) for cpu in cpus]
    low, high = FREQUENCY_KHZ
    known = [value for value in readings if value is not None and low <= value <= high]
    return sum(known) / len(known) / 1000.0 if known else None


def thermal_zones(sysfs_root: Path = SYSFS) -> dict[str, float]:
    """Readings in °C by zone and type; those that cannot be true are left out."""
    zones = {}
    low, high = ZONE_MC
    for zone in sorted((sysfs_root / "class" / "thermal").glob("thermal_zone*")):
        value = read_number(zone / "temp")
        if value is not None and low < value < high and abs(value) >= LEAST_ZONE_MC:
            zones[f"{zone.name}:{read_text(zone / 'type') or '?'}"] = value / 1000.0
    return zones


def temperature_c(sysfs_root: Path = SYSFS) -> float | None:
    """The hottest thermal zone in °C."""
    zones = thermal_zones(sysfs_root)
    return max(zones.values()) if zones else None


def throttle_flags(sysfs_root: Path = SYSFS) -> list[str] | None:
    """What the firmware holds the CPU back for right now; an empty list is a board that says all is well."""
    for file in RASPBERRY_PI_FILES:
        word = read_number(sysfs_root / file, base=16)
        if word is not None and 0 <= word < 1 << RASPBERRY_PI_BITS:
            return [name for bit, name in enumerate(RASPBERRY_PI_FLAGS) if word >> bit & 1]
    return None


def throttle_count(cpus: Sequence[int], sysfs_root: Path = SYSFS) -> int | None:
    """Throttling events since boot, summed over `cpus` (x86)."""
    counts = [
        read_number(_cpu_dir(cpu, sysfs_root) / "thermal_throttle" / "core_throttle_count") for cpu in cpus
    ]
    known = [count for count in counts if count is not None and count >= 0]
    return sum(known) if known else None


def memory_kills(proc_root: Path = PROC) -> int | None:
    """Processes that the kernel has ended for want of memory since boot."""
    for line in (read_text(proc_root / "vmstat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return None


def busy_seconds(cpus: Sequence[int], proc_root: Path = PROC) -> float | None:
    """CPU time since boot that `cpus` spent on anything, steal by other virtual machines included."""
    wanted = {f"cpu{cpu}" for cpu in cpus}
    ticks = 0
    seen = 0
    for line in (read_text(proc_root / "stat") or "").splitlines():
        name, *fields = line.split()
        if name in wanted and len(fields) >= 8 and all(field.isdigit() for field in fields[:8]):
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
            seen += 1
    return ticks / os.sysconf("SC_CLK_TCK") if seen and seen == len(wanted) else None


def competing_load(
    busy_before: float | None, busy_after: float | None, own_s: float, window_s: float, cpu_count: int
) -> float | None:
    """Share of the CPUs' time in the window that went to others than us (`own_s` CPU seconds were ours).

    The kernel counts in ticks of about 10 ms: what is left of three of them is not told from nothing. None
    when that time went back, or when more of it passed than the CPUs have.
    """
    if busy_before is None or busy_after is None or window_s <= 0 or cpu_count < 1:
        return None
    others_s, ticks_s = busy_after - busy_before - own_s, 3.0 / os.sysconf("SC_CLK_TCK")
    if busy_after < busy_before or others_s > (window_s + ticks_s) * cpu_count * LOAD_MARGIN:
        return None
    return 0.0 if others_s <= ticks_s else min(1.0, others_s / (window_s * cpu_count))
