"""Where stored rows have each metric, and the metrics of other packages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.core.errors import UsageError
from harness.store import Measurement
from harness.store.metrics import LOOKED_UP, METRICS, get_metric, get_metrics, read, value_of
from modnas.core.registry import PluginError

MakeRow = Callable[..., Measurement]
RECORD = {"memory_mb": 51.5, "load_time_ms": 12.0, "file_size_mb": 0.25}


def test_built_in_metrics_have_the_keys_that_documents_use() -> None:
    keys = [get_metric(name).key for name in METRICS.built_in]
    assert keys == ["latency_ms", "energy_mj", "peak_memory_mb", "load_time_ms", "file_size_mb"]
    assert [get_metric(name).needs_sensor for name in METRICS.built_in] == [False, True, False, False, False]


def test_a_measured_row_has_all_of_them(make_row: MakeRow) -> None:
    row = make_row(value=2.0, energy_mj=3.0, memory_mb=51.5, record=RECORD)
    values = {name: value_of(get_metric(name), row) for name in METRICS.built_in}
    expected = {"latency": 2.0, "energy": 3.0, "peak_memory": 51.5, "load_time": 12.0, "file_size": 0.25}
    assert values == expected


def test_a_latency_has_the_interval_of_its_median(make_row: MakeRow) -> None:
    ends = {"latency_p10_ms": 0.9, "latency_p90_ms": 1.2, "latency_ci_low_ms": 0.99}
    found = read(get_metric("latency"), make_row(**ends, latency_ci_high_ms=1.01))
    assert (found.spread, found.interval) == ((0.9, 1.2), (0.99, 1.01))
    assert read(get_metric("latency"), make_row(**ends)).interval is None


@pytest.mark.parametrize("name", ["load_time", "file_size"])
def test_a_row_from_before_a_metric_is_outdated_and_has_no_value(make_row: MakeRow, name: str) -> None:
    found = read(get_metric(name), make_row())
    assert (found.value, found.outdated) == (None, True) and found.reason
    told = read(get_metric(name), make_row(record=dict.fromkeys(RECORD)))
    assert (told.value, told.outdated) == (None, False) and told.reason, "measuring again would not help"


def test_what_a_device_does_not_tell_is_absent_with_a_reason(make_row: MakeRow) -> None:
    for name in ("energy", "peak_memory"):
        found = read(get_metric(name), make_row())
        assert (found.value, found.outdated) == (None, False) and found.reason
    asked = make_row(record={"energy": {"sensor": "rapl", "reason": "window too short"}})
    assert read(get_metric("energy"), asked).reason == "window too short"
    assert get_metric("energy").origin(asked) == "rapl"


def test_a_failed_row_has_no_value_and_says_why(make_row: MakeRow) -> None:
    failed = make_row(status="error", reason="timeout", message="60 s", value=None, record=RECORD)
    for name in METRICS.built_in:
        found = read(get_metric(name), failed)
        assert (found.value, found.reason, found.outdated) == (None, "timeout: 60 s", False)


def test_a_looked_up_row_has_what_the_tables_have(make_row: MakeRow) -> None:
    row = make_row(value=None, record={LOOKED_UP: {"latency": 4.0, "file_size": None}})
    assert value_of(get_metric("latency"), row) == 4.0
    assert read(get_metric("file_size"), row).reason == "the table does not have it"


def test_names() -> None:
    assert get_metric("memory") is get_metric("peak_memory"), "as it was called before"
    assert [metric.name for metric in get_metrics(["energy", "memory", "peak_memory"])] == [
        "energy",
        "peak_memory",
    ]
    with pytest.raises(UsageError, match="no metric 'beauty'; known: latency, energy, peak_memory"):
        get_metric("beauty")


CODE = """
from modnas.core.metric import Metric, Reading
METRIC = Metric("first_call", "ms", lambda row: Reading(2 * row.latency_ms))
"""


def test_metrics_of_other_packages(install_package: Callable[..., None], make_row: MakeRow) -> None:
    install_package("extra-metrics", "modnas_hw.metrics", {"first_call": "METRIC", "alias": "METRIC"}, CODE)
    assert METRICS.names()[-2:] == ["alias", "first_call"]
    assert value_of(get_metric("first_call"), make_row(value=1.5)) == 3.0
    with pytest.raises(PluginError, match=r"'alias' of package extra-metrics 1\.2 is named 'first_call'"):
        get_metric("alias")


def test_something_else_is_no_metric(install_package: Callable[..., None]) -> None:
    install_package("extra-metrics", "modnas_hw.metrics", {"odd": "METRIC"}, "METRIC = 3")
    with pytest.raises(PluginError, match=r"is not a modnas\.core\.metric\.Metric"):
        get_metric("odd")
