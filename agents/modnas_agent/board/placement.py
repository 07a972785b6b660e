"""Which CPUs a measurement runs on."""

from __future__ import annotations

import os
from typing import Any, Sequence

#: Who may keep a process off CPUs that are there.
_LIMITS = "taskset, a container or a systemd slice may have taken them away"


def allowed_cpus() -> list[int]:
    """CPUs this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def choose_cpus(affinity: Any, threads: int, allowed: Sequence[int]) -> list[int] | None:
    """CPUs to pin to, ascending, or None to leave the scheduler free; raises ValueError.

    "auto" takes as many as there are threads from the highest number down: interrupts and daemons gather on
    CPU 0, and on big.LITTLE boards the fast cores come last.
    """
    if affinity is None:
        return None
    if affinity == "auto":
        return sorted(sorted(allowed, reverse=True)[:threads])
    missing = sorted(set(affinity) - set(allowed))
    if missing:
        raise ValueError(
            f"affinity: CPUs {missing} are not among the allowed {list(allowed)}: they do not exist, or "
            f"{_LIMITS}; change options.affinity in the profile, or lift that limit"
        )
    return sorted(set(affinity))


def check_threads(affinity: Any, threads: int, allowed: Sequence[int], there: int) -> None:
    """Raise ValueError when threads would crowd on the CPUs that this process was left with.

    More threads than the board has CPUs (`there`), or than a list names, are the user's wish. Fewer CPUs than
    usual are another measurement under the same name.
    """
    if not isinstance(affinity, list) and len(allowed) < min(threads, there):
        raise ValueError(
            f"threads: {threads} threads would share CPUs {list(allowed)} of the {there} here: {_LIMITS}; "
            "lift that limit, or choose options.threads or options.affinity in the profile"
        )


def pin(cpus: Sequence[int] | None) -> list[int] | None:
    """Pin this process and the threads it will start; what was applied, None where nothing was."""
    if cpus is None or not hasattr(os, "sched_setaffinity"):
        return None
    os.sched_setaffinity(0, cpus)
    return sorted(os.sched_getaffinity(0))
