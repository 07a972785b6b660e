"""Whether a measurement can be true: compared with the request, the board and this host's clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.agent.frames import FIGURES, Failed, FrameError, Measured, parse, plain
from harness.transport.base import Frame

# Of a failed row: what the agent sent cannot be true, and message says why.
IMPLAUSIBLE = "implausible"
# Two machines' clocks, and a host that was asleep meanwhile: seconds that an agent's time may be ahead.
CLOCK_SHARE = 1.1
CLOCK_SLACK_S = 10.0
# A network's memory is counted by pages, of which two may be the same memory.
MEMORY_SHARE = 2.0
# The tolerance of a request that names none, see `modnas_agent.wire.request`.
DEFAULT_TOLERANCE = 1e-3
DEFAULT_TIMEOUT_S = 60.0
# No machine takes more: 100 kW.
MOST_WATTS = 1e5


def judged(
    frame: Mapping[str, Any], request: Mapping[str, Any], elapsed_s: float, memory_mb: float | None
) -> Frame:
    """A result frame as plain JSON values: as it is, or a failure that says what is wrong with it.

    Args:
        request: what was asked for.
        elapsed_s: how long ago, by this host's clock.
        memory_mb: what the board says it has, None when it does not say.
    """
    try:
        if frame.get("status") == "error":
            failure = plain(parse(Failed, frame))
            return {name: value for name, value in failure.items() if name not in FIGURES}
        found = parse(Measured, frame)
        _check_time(found, request, elapsed_s)
        _check_memory(found, memory_mb)
        _check_outputs(found, request)
        _check_energy(found)
    except FrameError as error:
        message = f"the agent's result cannot be true: {error}"
        return {"status": "error", "reason": IMPLAUSIBLE, "message": message}
    return plain(found)


def _check_time(found: Measured, request: Mapping[str, Any], elapsed_s: float) -> None:
    """Calls take time: as long as they are said to take, within what was allowed and what went by here."""
    limit_s = float((request.get("protocol") or {}).get("timeout_s", DEFAULT_TIMEOUT_S))
    spent_s = found.latency.half_spent_s
    within = {
        f"the limit was {limit_s:g} s": CLOCK_SHARE * limit_s,
        f"it was sent after {elapsed_s:.1f} s": CLOCK_SHARE * elapsed_s + CLOCK_SLACK_S,
    }
    if found.wall_s is not None:
        within[f"wall_s is {found.wall_s:g}"] = CLOCK_SHARE * found.wall_s + 0.01
    for why, most_s in within.items():
        if spent_s > most_s:
            raise FrameError(
                f"{found.latency.n * found.latency.block} calls with a median of "
                f"{found.latency.median_ms:g} ms take longer than {most_s:.3g} s: {why}"
            )
    allowed_s = CLOCK_SHARE * elapsed_s + CLOCK_SLACK_S
    loaded_s = None if found.load_time_ms is None else found.load_time_ms / 1e3
    for name, value in (("wall_s", found.wall_s), ("measure_s", found.measure_s), ("load time", loaded_s)):
        if value is not None and value > allowed_s:
            raise FrameError(f"{name} is {value:g} s, but it was sent after {elapsed_s:.1f} s")


def _check_memory(found: Measured, memory_mb: float | None) -> None:
    if found.memory_mb is not None and memory_mb is not None and found.memory_mb > MEMORY_SHARE * memory_mb:
        raise FrameError(f"memory_mb is {found.memory_mb:g}, the board has {memory_mb:g}")


def _check_outputs(found: Measured, request: Mapping[str, Any]) -> None:
    """The agent's own rule (`modnas_agent.timing.worker.check_outputs`), which it may not have kept."""
    expected = request.get("expected")
    if expected is None:
        return
    if found.max_abs_diff is None:
        raise FrameError("max_abs_diff is absent, but the outputs were to be compared")
    scale = max(1.0, max((abs(value) for value in expected), default=0.0))
    allowed = float(request.get("tolerance", DEFAULT_TOLERANCE)) * scale
    if found.max_abs_diff > allowed * (1 + 1e-9):
        raise FrameError(f"max_abs_diff is {found.max_abs_diff:.4g}, allowed is {allowed:.4g}")


def _check_energy(found: Measured) -> None:
    if found.energy is None or found.energy.net_mj is None:
        return
    watts = found.energy.net_mj / max(found.latency.median_ms, found.latency.p90_ms)
    if watts > MOST_WATTS:
        raise FrameError(
            f"net_mj is {found.energy.net_mj:g} in {found.latency.median_ms:g} ms: that is {watts:.3g} W"
        )
