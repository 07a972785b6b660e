"""The warnings a measurement gives about itself."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from modnas_agent.timing.sampling import Series, WarmUp
from modnas_agent.timing.stats import Interval
from modnas_agent.timing.summary import warnings
from modnas_agent.wire.request import Timing

EXACT = Interval(1.0, 1.0, 20.0)
QUIET = WarmUp(10, 1e6, 0.1, True)


def series(samples: list[float], ended_by: str = "precision", interval: Interval | None = EXACT) -> Series:
    return Series(array("d", samples), 1, interval, ended_by, 1.0)


def test_a_good_measurement_has_no_warnings() -> None:
    calm: dict[str, Any] = {"throttle_flags": [], "throttle_count": 3, "competing_load": 0.02}
    assert warnings(series([1.0] * 20), QUIET, Timing(), calm, calm, preemptions=5) == []
    assert warnings(series([1.0] * 20), QUIET, Timing(), {}, {}, preemptions=None) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"series": series([1.0] * 20, "time", Interval(0.9, 1.1, 20.0))}, "10.00% instead of 1.00%"),
        ({"series": series([1.0] * 3, "time", None)}, "3 samples are too few"),
        ({"series": series([1.0, 2.0] * 2000, "time", None)}, "4000 samples that rise and fall together"),
        ({"series": series([1.0] * 10 + [1.05] * 10)}, "+5.00%"),
        ({"warmup": QUIET._replace(stable=False)}, "warm-up"),
        ({"after": {"competing_load": 0.4}}, "40%"),
        ({"after": {"throttle_flags": ["throttled"]}}, "throttled"),
        ({"before": {"throttle_count": 1}, "after": {"throttle_count": 2}}, "throttled"),
        ({"preemptions": 80}, "preempted 80 times"),
    ],
)
def test_each_reason_for_distrust_is_told(change: dict[str, Any], says: str) -> None:
    values = {"series": series([1.0] * 20), "warmup": QUIET, "timing": Timing(), "before": {}, "after": {}}
    found = warnings(**{**values, "preemptions": 0, **change})
    assert len(found) == 1 and says in found[0]
