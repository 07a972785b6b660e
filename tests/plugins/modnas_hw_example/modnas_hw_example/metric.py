"""Inferences a second: more is better."""

from __future__ import annotations

from harness.store import Measurement
from modnas import Metric, Reading


def read(row: Measurement) -> Reading:
    """From a row of the store that was measured successfully."""
    if row.latency_ms is None:
        return Reading(reason="the latency is not known")
    return Reading(1e3 * row.batch / row.latency_ms)


THROUGHPUT = Metric("throughput", "Hz", read, sense="maximise")
