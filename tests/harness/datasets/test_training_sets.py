"""From stored measurements to device vectors and training sets."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.core.errors import UsageError
from harness.datasets.training_sets import (
    DatasetError,
    device_deviations,
    device_features,
    device_table,
    device_values,
    further_measurements,
    load_dataset,
    measured_devices,
    save_dataset,
)
from harness.store import Measurement, Store
from harness.store.metrics import get_metric
from modnas.core.bounded import TooLargeError
from modnas.prediction import DeviceTable
from modnas.spaces import get_space

MakeRow = Callable[..., Measurement]
SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
CELLS = st.lists(
    st.tuples(*[st.integers(0, 4)] * 6).map(SPACE.architecture), max_size=8, unique=True
)  # none of them is special to a table
POSITIVE = st.floats(1e-6, 1e6)


def values_of(table: DeviceTable) -> dict[Any, float]:
    return dict(zip(table.architectures, np.asarray(table.values).tolist(), strict=True))


@st.composite
def tables(draw: st.DrawFn) -> list[DeviceTable]:
    names = draw(
        st.lists(
            st.from_regex(r"[A-Za-z0-9][\w.-]{0,10}@?\d?", fullmatch=True),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    found = []
    for name in names:
        cells = draw(CELLS)
        features = draw(st.lists(POSITIVE, min_size=10, max_size=10))
        values = draw(st.lists(POSITIVE, min_size=len(cells), max_size=len(cells)))
        found.append(DeviceTable(name, np.array(features), cells, np.array(values)))
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(tables())
@example([DeviceTable("d", np.ones(10), [], np.array([]))])
def test_dataset_round_trip(tmp_path: Path, given_tables: list[DeviceTable]) -> None:
    path = tmp_path / "set.npz"
    save_dataset(path, SPACE, "latency", given_tables)
    found = load_dataset(path, SPACE)
    assert [table.name for table in found] == [table.name for table in given_tables]
    for table, original in zip(found, given_tables, strict=True):
        assert np.array_equal(np.asarray(table.features), np.asarray(original.features))
        assert values_of(table) == values_of(original)
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "set.npz"
    cells = list(SPACE.references)
    save_dataset(path, SPACE, "latency", [DeviceTable("d", np.arange(1.0, 11), cells, np.arange(1.0, 11))])
    return path


def test_encodings_are_those_of_the_space(saved: Path) -> None:
    with np.load(saved, allow_pickle=False) as file:
        assert np.array_equal(file["encodings"], SPACE.encode(SPACE.references).numpy())
        assert str(file["unit"]) == "ms"


def test_dataset_of_another_space_is_refused(saved: Path) -> None:
    other = get_space("nasbench201", channels=5, cells=1, input_shape=(1, 8, 8))
    with pytest.raises(UsageError, match=other.variant):
        load_dataset(saved, other)


def test_missing_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.npz.*dataset build"):
        load_dataset(tmp_path / "absent.npz", SPACE)


def test_dataset_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent"):
        save_dataset(tmp_path / "absent" / "set.npz", SPACE, "latency", load_dataset_example())


def load_dataset_example() -> list[DeviceTable]:
    return [DeviceTable("d", np.ones(10), [], np.array([]))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(st.data())
def test_damaged_dataset_is_told_as_such(saved: Path, data: st.DataObject) -> None:
    path = saved.with_name("damaged.npz")
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        load_dataset(path, SPACE)  # some bytes of a zip archive do not matter
    except (UsageError, TooLargeError) as error:  # a damaged byte may say that it is large
        assert str(path) in str(error)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", b"\x93NUMPY"])
def test_file_that_is_no_dataset(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"set\.npz"):
        load_dataset(path, SPACE)


def test_array_file_and_missing_arrays(tmp_path: Path, saved: Path) -> None:
    path = tmp_path / "other.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UsageError, match=r"other\.npz"):
        load_dataset(path, SPACE)
    with np.load(saved) as file:
        arrays = dict(file)
    for broken in (
        {name: a for name, a in arrays.items() if name != "values"},
        {**arrays, "archs": np.array(["|none~0|"] * 10)},
        {**arrays, "devices": np.array(["d", "e"])},
        {**arrays, "archs": arrays["archs"][:3]},
        {**arrays, "values": np.zeros(3)},
        {**arrays, "values": np.array([["text"] * 10])},
    ):
        np.savez(path, **broken)
        with pytest.raises(UsageError, match=r"other\.npz"):
            load_dataset(path, SPACE)


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_pickled_object_is_refused_and_not_executed(tmp_path: Path, saved: Path) -> None:
    with np.load(saved) as file:
        arrays = dict(file)
    path, mark = tmp_path / "evil.npz", tmp_path / "executed"
    np.savez(path, **{**arrays, "archs": np.array([Bomb(mark)], dtype=object)})
    with pytest.raises(UsageError, match=r"evil\.npz"):
        load_dataset(path, SPACE)
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(UsageError, match=r"evil\.npz"):
        load_dataset(path, SPACE)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists(), "the bomb would have worked"


# From the store.


def fill(store: Store, make_row: MakeRow, device: str, factor: float = 1.0, **fields: Any) -> None:
    for n, cell in enumerate(SPACE.references):
        store.add(make_row(cell, factor * (n + 1), device=device, key=f"{device}-{factor}-{n}", **fields))


def test_features_are_the_references_in_order(make_row: MakeRow) -> None:
    with Store() as store:
        fill(store, make_row, "cpu", 2.0)
        store.add(make_row(SPACE.architecture((1,) * 6), 99.0, key="more"))
        found = device_features(store, "cpu", SPACE)
        assert found.values == tuple(2.0 * (n + 1) for n in range(10))
        assert found.vector.tolist() == pytest.approx([n / 9 for n in range(10)])
        table = device_table(store, "cpu", SPACE)
    assert len(table.architectures) == 11 and values_of(table)[SPACE.architecture((1,) * 6)] == 99.0


def test_incomplete_device_is_told_what_to_do(make_row: MakeRow) -> None:
    with Store() as store:
        fill(store, make_row, "whole")
        store.add(make_row(device="part"))
        store.add(make_row(device="broken", status="error", value=None))
        for device, command in (
            ("part", "features --device part"),
            ("broken", "profile --archs reference --retry-failed --device broken"),
            ("unknown", "features --device unknown"),
        ):
            with pytest.raises(DatasetError, match=command):
                device_features(store, device, SPACE)
        assert measured_devices(store, SPACE) == ["whole"]
        assert device_values(store, "broken", SPACE, "latency") == {}


def test_wide_intervals_and_warnings_make_a_value_uncertain(make_row: MakeRow) -> None:
    """In units of the value; unless most have warnings: then it is the device's way."""
    wide, warned = SPACE.references[2], SPACE.references[5]
    with Store() as store:
        fill(store, make_row, "cpu", latency_ci_low_ms=0.9, latency_ci_high_ms=1.1)
        store.add(make_row(wide, 4.0, key="wide", latency_ci_low_ms=2.0, latency_ci_high_ms=6.0))
        known = {"latency_ci_low_ms": 4.9, "latency_ci_high_ms": 5.1, "record": {"warnings": ["clock fell"]}}
        store.add(make_row(warned, 5.0, key="warned", **known))
        table = device_table(store, "cpu", SPACE)
        found = dict(zip(table.architectures, np.asarray(table.deviations).tolist(), strict=True))
        assert found[SPACE.references[0]] == pytest.approx(0.1 / 1.96)
        assert found[wide] == pytest.approx(2 / 1.96)
        assert found[warned] == pytest.approx(0.5)
        for n, cell in enumerate(SPACE.references[:7]):
            store.add(make_row(cell, 5.0, key=f"again-{n}", **known))
        assert device_deviations(store, "cpu", SPACE, "latency")[warned] == pytest.approx(0.1 / 1.96)


def test_further_measurements_are_those_besides_the_references(make_row: MakeRow) -> None:
    with Store() as store:
        fill(store, make_row, "cpu")
        assert further_measurements(store, "cpu", SPACE, "latency") is None
        cells = [SPACE.architecture((1,) * 5 + (last,)) for last in range(4)]
        for n, cell in enumerate(cells):
            store.add(make_row(cell, 7.0 + n, key=f"more-{n}"))
        found = further_measurements(store, "cpu", SPACE, "latency", limit=3)
    assert found is not None
    assert list(found.architectures) == cells[1:] and list(found.values) == [8.0, 9.0, 10.0]


@pytest.mark.parametrize(
    "changed",
    [
        {"fingerprint": "other machine"},
        {"backend": "tvm"},
        {"request": {"options": {"threads": 2}, "protocol": {}}},
        {"request": {"options": {}, "protocol": {"precision": 0.5}}},
    ],
)
def test_measurements_under_other_conditions_do_not_mix(make_row: MakeRow, changed: dict[str, Any]) -> None:
    with Store() as store:
        fill(store, make_row, "cpu")
        store.add(make_row(SPACE.references[4], 7.0, key="new", **changed))
        assert device_values(store, "cpu", SPACE, "latency") == {SPACE.references[4]: 7.0}


def test_limits_for_giving_up_do_not_part_measurements(make_row: MakeRow) -> None:
    # They are no part of a measurement's key, so these rows are not measured again either.
    before = {"options": {}, "protocol": {"precision": 0.1, "timeout_s": 60.0, "memory_limit_mb": 100}}
    after = {"options": {}, "protocol": {"precision": 0.1, "timeout_s": 5.0, "memory_limit_mb": None}}
    with Store() as store:
        fill(store, make_row, "cpu", request=before)
        store.add(make_row(SPACE.architecture((1,) * 6), 7.0, key="new", request=after))
        assert len(device_values(store, "cpu", SPACE, "latency")) == 11


def test_unknown_metric() -> None:
    with pytest.raises(UsageError, match="known: latency"):
        get_metric("beauty")
