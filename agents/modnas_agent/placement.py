"""Which CPUs a measurement runs on."""

from __future__ import annotations

import os
from typing import Any, Sequence


def allowed_cpus() -> list[int]:
    """CPUs this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def choose_cpus(affinity: Any, threads: int, allowed: Sequence[int]) -> list[int] | None:
    """CPUs to pin to, ascending, or None to leave the scheduler free.

    "auto" takes as many as there are threads from the highest number down: interrupts and daemons gather on
    CPU 0, and on big.LITTLE boards the fast cores come last.
    """
    if affinity is None:
        return None
    if affinity == "auto":
        return sorted(sorted(allowed, reverse=True)[:threads])
    missing = sorted(set(affinity) - set(allowed))
    if missing:
        raise ValueError(f"affinity: CPUs {missing} are not among the allowed {list(allowed)}")
    return sorted(set(affinity))


def pin(cpus: Sequence[int] | None) -> list[int] | None:
    """Pin this process and the threads it will start; what was applied, None where nothing was."""
    if cpus is None or not hasattr(os, "sched_setaffinity"):
        return None
    os.sched_setaffinity(0, cpus)
    return sorted(os.sched_getaffinity(0))
