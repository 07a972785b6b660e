"""What the board is: enough to tell it from another one, nothing that names its owner."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from modnas_agent.backends import distributions
from modnas_agent.board import conditions
from modnas_agent.board.conditions import PROC, SYSFS
from modnas_agent.board.placement import allowed_cpus
from modnas_agent.energy.sensors import found_sensors
from modnas_agent.files import read_text

#: What backends share.
LIBRARIES = {"numpy": ("numpy",)}


def inventory(sysfs_root: Path = SYSFS, proc_root: Path = PROC) -> dict[str, Any]:
    """Hardware, system, runtimes and sensors. Nothing is imported to find a runtime's version."""
    cpus = allowed_cpus()
    return {
        "machine": platform.machine(),
        "board": _board(sysfs_root, proc_root),
        "cpu": _cpu(proc_root),
        "memory_mb": _memory_mb(proc_root),
        "os": {"system": platform.system(), "release": platform.release(), "distribution": distribution()},
        "python": platform.python_version(),
        "runtimes": {name: _version(names) for name, names in {**distributions(), **LIBRARIES}.items()},
        "governor": conditions.governor(cpus, sysfs_root),
        "sensors": sensors(sysfs_root),
        "power_sensors": found_sensors(sysfs_root),
        "temperature_c": conditions.temperature_c(sysfs_root),
        "throttle_flags": conditions.throttle_flags(sysfs_root),
    }


def _board(sysfs_root: Path, proc_root: Path) -> str | None:
    """The device tree's or the firmware's name of the board."""
    tree = read_text(proc_root / "device-tree" / "model")
    return tree or read_text(sysfs_root / "class" / "dmi" / "id" / "product_name")


def _cpu(proc_root: Path) -> dict[str, Any]:
    blocks = [
        dict(_field(line) for line in block.splitlines() if ":" in line)
        for block in (read_text(proc_root / "cpuinfo") or "").split("\n\n")
    ]
    processors = [block for block in blocks if "processor" in block]
    cores = {(block.get("physical id"), block["core id"]) for block in processors if "core id" in block}
    return {
        "model": _cpu_model(processors),
        "logical": len(processors) or os.cpu_count(),
        "physical": len(cores) or None,
    }


def _field(line: str) -> list[str]:
    name, _, value = line.partition(":")
    return [name.strip(), value.strip()]


def _cpu_model(processors: list[dict[str, str]]) -> str | None:
    """Names on x86; on Arm, which has none in /proc, implementer and part number of every kind of core."""
    names = {block["model name"] for block in processors if "model name" in block}
    if not names:
        names = {
            f"{block['CPU implementer']}:{block.get('CPU part', '?')}"
            for block in processors
            if "CPU implementer" in block
        }
    return ", ".join(sorted(names)) or None


def _memory_mb(proc_root: Path) -> int | None:
    for line in (read_text(proc_root / "meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def distribution(os_release: Path = Path("/etc/os-release")) -> str | None:
    """`<id> <version>` of the system, as in `debian 12`."""
    fields = {}
    for line in (read_text(os_release) or "").splitlines():
        name, _, value = line.partition("=")
        fields[name] = value.strip("\"'")
    return " ".join(fields[key] for key in ("ID", "VERSION_ID") if fields.get(key)) or None


def _version(distributions: tuple[str, ...]) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def sensors(sysfs_root: Path = SYSFS) -> list[str]:
    """Names of the thermal zones, hwmon chips and power domains found."""
    found = [f"thermal:{zone}" for zone in conditions.thermal_zones(sysfs_root)]
    for kind, pattern in (("hwmon", "hwmon*"), ("powercap", "*:*")):
        for entry in sorted((sysfs_root / "class" / kind).glob(pattern)):
            found.append(f"{kind}:{entry.name}:{read_text(entry / 'name') or '?'}")
    return found
