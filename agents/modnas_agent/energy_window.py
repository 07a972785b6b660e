"""The worker's part of an energy measurement: nothing but inferences, counted."""

from __future__ import annotations

import time
from typing import Any, Callable

from modnas_agent.request import WindowPlan

#: The clock is looked at after calls of about this length together.
CHUNK_S = 0.01


def run_window(run: Callable[[], object], call_s: float, plan: WindowPlan) -> dict[str, Any]:
    """Infer as planned; the window begins and ends between two calls, its times are monotonic."""
    chunk = max(1, int(CHUNK_S / max(call_s, 1e-9)))
    _infer(run, chunk, plan.lead_s)
    begin_s = time.monotonic()
    count = _infer(run, chunk, plan.window_s)
    end_s = time.monotonic()
    _infer(run, chunk, plan.lead_s)
    return {"begin_s": begin_s, "end_s": end_s, "n": count}


def _infer(run: Callable[[], object], chunk: int, duration_s: float) -> int:
    count, until_s = 0, time.monotonic() + duration_s
    while time.monotonic() < until_s:
        for _ in range(chunk):
            run()
        count += chunk
    return count
