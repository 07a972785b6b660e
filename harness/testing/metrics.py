"""What every metric must do: it is read from rows that were measured on this machine, and from others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.devices.profile import DeviceProfile
from harness.measure.profiling import profile_device
from harness.store import Measurement, Store
from harness.store.metrics import METRICS, HardwareMetric, get_metric
from harness.testing.home import own_home
from modnas.core.metric import Reading
from modnas.spaces import get_space

# Short: the figures are not looked at beyond their presence.
_POLICY = {"precision": 0.2, "warmup_s": 0.0, "min_time_s": 0.01, "max_time_s": 2.0, "min_samples": 5}


def check_metric(name: str) -> None:
    """Check a metric on networks that are measured on this machine with ONNX Runtime.

    Raises:
        AssertionError: it does not do what a metric must; the message says what.
    """
    metric = get_metric(name)
    check_key(metric)
    with own_home(), Store() as store:
        profile = DeviceProfile.model_validate({"name": "check", "policy": _POLICY})
        space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
        report = profile_device(profile, space, space.references[:2], store, metrics=[metric])
        check_readings(metric, report.rows)


def check_key(metric: HardwareMetric) -> None:
    """No other metric has its key."""
    same = [name for name in METRICS.names() if name != metric.name and get_metric(name).key == metric.key]
    assert not same, f"metric {metric.name} has the key of {', '.join(same)}: {metric.key}"


def check_readings(metric: HardwareMetric, rows: Sequence[Measurement]) -> None:
    """What it says of rows that were just measured, all of them successfully."""
    for row in rows:
        assert row.status == "ok", f"the network could not be measured: {row.reason}: {row.message}"
        found = metric.read(row)
        _check_reading(metric, found)
        assert not found.outdated, (
            f"metric {metric.name}: a row that was just measured is said to be outdated"
        )
        origin = metric.origin(row)
        assert origin is None or isinstance(origin, str), f"metric {metric.name}: its origin is {origin!r}"
        # Of an older version, or of a device that tells nothing beyond the latency.
        _check_reading(
            metric, metric.read(Measurement(status="ok", latency_ms=1.0, batch=1, request={}, record={}))
        )


def _check_reading(metric: HardwareMetric, found: Reading) -> None:
    what = f"metric {metric.name}"
    if found.value is None:
        assert found.reason, f"{what}: neither a value nor a reason why there is none"
        return
    values = [found.value, *(found.spread or ()), *(found.interval or ())]
    assert all(math.isfinite(value) and value > 0 for value in values), (
        f"{what}: {values} are not all positive"
    )
    for ends in (found.spread, found.interval):
        assert ends is None or ends[0] <= found.value <= ends[1], (
            f"{what}: {found.value} is not within {ends}"
        )
