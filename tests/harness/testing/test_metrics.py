"""The built-in metrics pass what is asked of other packages', and the checks find what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.store import Measurement
from harness.store.metrics import METRICS
from harness.testing import check_metric
from harness.testing.metrics import check_readings
from modnas.core.metric import Metric, Reading

MakeRow = Callable[..., Measurement]


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS.built_in)
def test_built_in_metrics_conform(name: str) -> None:
    check_metric(name)


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda row: Reading(), "neither a value nor a reason"),
        (lambda row: Reading(0.0), "not all positive"),
        (lambda row: Reading(float("nan")), "not all positive"),
        (lambda row: Reading(2.0, interval=(2.1, 2.2)), "not within"),
        (lambda row: Reading(reason="why", outdated=True), "outdated"),
    ],
)
def test_what_is_wrong_with_a_metric_is_said(
    read: Callable[[Measurement], Reading], says: str, make_row: MakeRow
) -> None:
    with pytest.raises(AssertionError, match=says):
        check_readings(Metric("odd", "ms", read), [make_row()])


def test_a_metric_that_takes_rows_for_complete_is_found(make_row: MakeRow) -> None:
    metric: Metric[Measurement] = Metric("odd", "ms", lambda row: Reading(row.record["latency"]["mean_ms"]))
    with pytest.raises(KeyError):
        check_readings(metric, [make_row(record={"latency": {"mean_ms": 1.0}})])
