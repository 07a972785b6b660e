"""The contract of a metric."""

from __future__ import annotations

from typing import Any

import pytest

from modnas.core.metric import Metric, Reading


def read(row: float) -> Reading:
    return Reading(row)


def test_a_metric_says_how_its_values_are_called() -> None:
    metric = Metric("peak_memory", "MB", read)
    assert (metric.key, metric.suffix, metric.title) == ("peak_memory_mb", "mb", "peak memory MB")
    assert metric.read(3.0).value == 3.0 and metric.origin(3.0) is None and not metric.needs_sensor


def test_what_is_maximised_is_minimised_with_its_sign_turned() -> None:
    assert Metric("latency", "ms", read).sign == 1.0
    assert Metric("throughput", "Hz", read, sense="maximise").sign == -1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "error"},
        {"name": "Peak memory"},
        {"name": ""},
        {"name": "a__b"},
        {"unit": ""},
        {"unit": "m/s"},
    ],
)
def test_names_and_units_that_make_no_key_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is no"):
        Metric(**{"name": "speed", "unit": "Hz", "read": read, **wrong})
