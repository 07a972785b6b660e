"""The worker's part of an energy measurement: nothing but inferences, counted."""

from __future__ import annotations

import time
from typing import Any

from modnas_agent.timing.sampling import Progress, Run
from modnas_agent.wire.request import WindowPlan

#: The clock is looked at after calls of about this length together.
CHUNK_S = 0.01


def run_window(run: Run, call_s: float, plan: WindowPlan, progress: Progress) -> dict[str, Any]:
    """Infer as planned; the window begins and ends between two calls, its times are monotonic."""
    chunk = max(1, int(CHUNK_S / max(call_s, 1e-9)))

    def infer(duration_s: float) -> int:
        count, start_s = 0, time.monotonic()
        while (elapsed_s := time.monotonic() - start_s) < duration_s:
            progress("energy", count, elapsed_s, None)
            for _ in range(chunk):
                run()
            count += chunk
        return count

    infer(plan.lead_s)
    begin_s = time.monotonic()
    count = infer(plan.window_s)
    end_s = time.monotonic()
    infer(plan.lead_s)
    return {"begin_s": begin_s, "end_s": end_s, "n": count}
