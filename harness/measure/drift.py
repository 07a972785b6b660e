"""Measuring in blocks between readings of an anchor network, so that a drifting device is seen and told.

A device that gets hot, or is shared for a while, changes all that is measured in that time. The anchor, the
same network again and again, shows it: what was measured meanwhile is measured once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.store import Measurement
from modnas.spaces import Architecture

# Fewer measurements than this make no block: the anchor would cost more than it tells.
MIN_BLOCK = 10


@dataclass(frozen=True)
class Block:
    """What became of a run of measurements between two readings of the anchor.

    Attributes:
        number: from 1, in the order measured.
        size: architectures measured.
        drift: the anchor after the block relative to before it, minus 1; None when it could not be read.
        again: architectures that were measured a second time.
        drift_again: the anchor's drift over that second time.
        settled: False when the last measurements were taken under drift too.
    """

    number: int
    size: int
    drift: float | None
    again: int = 0
    drift_again: float | None = None
    settled: bool = True

    def __str__(self) -> str:
        parts = [f"block {self.number} ({self.size} architectures)"]
        if self.drift is not None:
            parts.append(f"anchor {self.drift:+.1%}")
        if self.again:
            parts.append(f"{self.again} measured again")
        if self.drift_again is not None:
            parts.append(f"then anchor {self.drift_again:+.1%}")
        return ", ".join(parts) + ("" if self.settled else ": still drifting")


def measure_in_blocks(
    architectures: Sequence[Architecture],
    take: Callable[[Architecture], Measurement],
    read_anchor: Callable[[], float | None],
    mark: Callable[[Architecture, str], None],
    *,
    size: int,
    limit: float,
) -> list[Block]:
    """Measure everything, and once more what was measured while the device drifted or was disturbed.

    Args:
        take: measures one architecture.
        read_anchor: measures the anchor: its latency in ms, None when that fails.
        mark: called with an architecture and a reason when its last measurement was taken under drift.
        size: architectures to a block.
        limit: drift of the anchor, as a fraction, beyond which a block does not count.
    """
    if len(architectures) < MIN_BLOCK:
        for architecture in architectures:
            take(architecture)
        return []
    blocks = []
    anchor = read_anchor()
    for number, start in enumerate(range(0, len(architectures), size), 1):
        chunk = architectures[start : start + size]
        measured, warned = [], []
        for architecture in chunk:
            row = take(architecture)
            if row.status == "ok":
                measured.append(architecture)
                if row.record.get("warnings"):
                    warned.append(architecture)
        anchor, drift = _drift(anchor, read_anchor())
        # Where most have warnings it is not a passing disturbance but the device: again would be no better.
        is_passing = 2 * len(warned) <= len(chunk)
        again = measured if _exceeds(drift, limit) else warned if is_passing else []
        last, drift_again = drift, None
        if again:
            for architecture in again:
                take(architecture)
            anchor, drift_again = _drift(anchor, read_anchor())
            last = drift_again
        settled = not _exceeds(last, limit)
        if not settled and last is not None:
            for architecture in again:
                mark(architecture, f"the anchor network drifted by {last:+.1%} meanwhile")
        blocks.append(Block(number, len(chunk), drift, len(again), drift_again, settled))
    return blocks


def _drift(before: float | None, after: float | None) -> tuple[float | None, float | None]:
    """The newer reading that there is, and the change in between."""
    if before is None or after is None:
        return (before if after is None else after), None
    return after, after / before - 1


def _exceeds(drift: float | None, limit: float) -> bool:
    return drift is not None and abs(drift) > limit
