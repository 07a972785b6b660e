"""What every device must do, measured or looked up: one row an architecture, its own, and the same again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from harness.devices.profile import DeviceProfile
from harness.devices.table import TableDevice, find_device
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.runs.lookup import look_up
from harness.store import Measurement, Store
from harness.store.metrics import HardwareMetric, get_metric, read
from harness.testing.home import own_home
from modnas.spaces import Architecture, Space, get_space


def check_device(
    name: str, *, space: Space | None = None, networks: int = 3, metric: str = "latency"
) -> None:
    """Check a device: a profile, which is measured on, or an imported table.

    Args:
        name: NAME or NAME@BATCH.
        space: networks that it can run or has values of; a small cell network by default.
        networks: how many of the space's references are asked for.
        metric: what is asked for.

    Raises:
        AssertionError: it does not do what a device must; the message says what.
        DeviceUnavailableError: it is not there.
    """
    asked = space or get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    some, wanted = asked.references[:networks], get_metric(metric)
    with Store() as store:
        device = find_device(name, store)
        if isinstance(device, TableDevice):
            reports = [look_up(store, device.id, asked, [wanted], some) for _ in range(2)]
            check_reports(reports, device, wanted, asked, some)
            return
    check_profile(device)
    with own_home(), Store() as store:
        reports = [profile_device(device, asked, some, store, metrics=[wanted]) for _ in range(2)]
        measured = [report.measured for report in reports]
        assert measured == [len(some), 0], (
            f"of {len(some)} it measured {measured[0]}, then {measured[1]} again"
        )
        check_reports(reports, device, wanted, asked, some)


def check_reports(
    reports: Sequence[ProfileReport],
    device: DeviceProfile | TableDevice,
    metric: HardwareMetric,
    space: Space,
    architectures: Sequence[Architecture],
) -> None:
    """What it says when it is asked twice for the same."""
    values = []
    for report in reports:
        assert report.device == device.id, f"the report of {device.id} is of {report.device}"
        check_rows(report.rows, space, architectures, device)
        values.append([read(metric, row).value for row in report.rows])
    assert values[0] == values[1], f"asked again, it says {values[1]} and not {values[0]}"
    check_values(reports[0], values[0])


def check_profile(profile: DeviceProfile) -> None:
    """A profile is the same one after it was written and read, and another device at another batch size."""
    written = json.loads(json.dumps(profile.model_dump(mode="json"), allow_nan=False))
    assert DeviceProfile.model_validate(written) == profile, (
        "the profile is another one when it is read again"
    )
    twice = DeviceProfile.model_validate({**written, "batch": 2 * profile.batch})
    assert twice.id != profile.id, f"{profile.id} has the same name at another batch size"


def check_rows(
    rows: Sequence[Measurement],
    space: Space,
    architectures: Sequence[Architecture],
    device: DeviceProfile | TableDevice,
) -> None:
    """One row for each architecture, in the order asked for, which says what it is of."""
    assert [row.arch for row in rows] == [a.string for a in architectures], "not one row an architecture"
    for row in rows:
        assert (row.device, row.space) == (device.id, space.name), f"a row is of {row.space} on {row.device}"
        assert row.status == "ok" or (row.reason and row.message), f"{row.arch} failed without a reason"


def check_values(report: ProfileReport, values: Sequence[float | None]) -> None:
    """Something can be told of at least one network, and all that is told is positive."""
    told = [value for value in values if value is not None]
    failures = [f"{row.reason}: {row.message}" for row in report.rows if row.status != "ok"]
    assert told, f"it has no value of any network: {failures[0] if failures else 'the metric is absent'}"
    assert all(math.isfinite(value) and value > 0 for value in told), f"{told} are not all positive"
