"""Devices of both kinds pass the check of devices, and it finds what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.datasets.importing import import_named
from harness.devices.profile import DeviceProfile
from harness.devices.registry import device_names, get_profile
from harness.devices.table import TableDevice
from harness.measure.reports import ProfileReport
from harness.store import Measurement, Store
from harness.testing import check_device
from harness.testing.devices import check_profile, check_rows, check_values
from modnas.spaces import Space

SHORT = "policy: {precision: 0.3, warmup_s: 0.01, min_time_s: 0.01, max_time_s: 0.05, min_samples: 5}"


@pytest.fixture
def table(tmp_path: Path, space: Space) -> str:
    """An imported table of all references but one."""
    file = tmp_path / "values.csv"
    rows = [f"{a.string},{1 + i}" for i, a in enumerate(space.references[1:])]
    file.write_text("\n".join(["arch,value", *rows]))
    with Store() as store:
        import_named(
            store, str(file), source=None, device="my-table", space=space, metric="latency", unit=None
        )
    return "my-table"


@pytest.mark.slow
def test_a_device_that_is_measured_conforms(home_folder: Path) -> None:
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "mine.yaml").write_text(f"name: mine\n{SHORT}\n")
    for name in ("mine", "mine@2"):
        check_device(name)
    check_device("mine", metric="peak_memory")
    with Store() as store:
        assert store.counts()["measurements"] == 0, "a check leaves nothing behind"


def test_an_imported_table_conforms(table: str, space: Space) -> None:
    check_device(table, space=space)
    with pytest.raises(AssertionError, match=r"no value of any network: table: the table has no latency"):
        check_device(table, space=space, networks=1)
    with pytest.raises(UsageError, match="my-table"):
        check_device("nope")


@pytest.mark.parametrize("name", device_names())
def test_shipped_profiles_conform(name: str) -> None:
    check_profile(get_profile(name))


def test_what_is_wrong_with_rows_is_said(make_row: Callable[..., Measurement], space: Space) -> None:
    first, second = space.references[:2]
    rows, device = [make_row(first), make_row(second)], DeviceProfile(name="cpu")
    check_rows(rows, space, [first, second], device)
    with pytest.raises(AssertionError, match="one row"):
        check_rows(rows, space, [second, first], device)
    with pytest.raises(AssertionError, match="on cpu"):
        check_rows(rows, space, [first, second], TableDevice("other"))
    with pytest.raises(AssertionError, match="without a reason"):
        check_rows([make_row(first, status="error")], space, [first], device)
    report = ProfileReport("cpu", rows=rows)
    check_values(report, [1.0, None])
    for values, says in (([None, None], "absent"), ([-1.0, 2.0], "positive")):
        with pytest.raises(AssertionError, match=says):
            check_values(replace(report), values)
