"""Blocks between readings of an anchor: drift and disturbances are seen, told, and measured again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness_helpers import FakeAgent, OpenWith, latency

from harness.devices.profile import DeviceProfile
from harness.measure.drift import Block, measure_in_blocks
from harness.measure.profiling import profile_device
from harness.measure.repeatability import compare_sessions
from harness.store import Measurement, Store
from modnas.spaces import Architecture, Space

MakeRow = Callable[..., Measurement]


class Device:
    """A device whose speed is the value of `slow` at each measurement, counted from 0."""

    def __init__(self, make_row: MakeRow, slow: Callable[[int], float]) -> None:
        self.make_row, self.slow = make_row, slow
        self.time = 0
        self.taken: list[Architecture] = []
        self.marked: dict[Architecture, str] = {}
        self.warned: set[Architecture] = set()
        self.failing: set[Architecture] = set()

    def _tick(self) -> float:
        self.time += 1
        return self.slow(self.time - 1)

    def take(self, architecture: Architecture) -> Measurement:
        self.taken.append(architecture)
        warnings = ["disturbed"] if architecture in self.warned else []
        status = "error" if architecture in self.failing else "ok"
        return self.make_row(architecture, self._tick(), status=status, record={"warnings": warnings})

    def measure(self, architectures: list[Architecture], size: int = 20) -> list[Block]:
        return measure_in_blocks(
            architectures, self.take, self._tick, self.marked.__setitem__, size=size, limit=0.03
        )


@pytest.fixture
def cells(space: Space) -> list[Architecture]:
    return [space.at(i) for i in range(40)]  # type: ignore[attr-defined]


def test_a_steady_device_is_measured_once(make_row: MakeRow, cells: list[Architecture]) -> None:
    device = Device(make_row, lambda time: 1.0 + 0.01 * (time % 2))
    blocks = device.measure(cells)
    assert device.taken == cells and not device.marked
    assert [(b.number, b.size, b.again, b.settled) for b in blocks] == [(1, 20, 0, True), (2, 20, 0, True)]


def test_a_drifting_block_is_measured_again_and_only_that(
    make_row: MakeRow, cells: list[Architecture]
) -> None:
    # Readings: anchor 0, block 1-20, anchor 21 (10 % slower from 15 on), again 22-41, anchor 42, block 43-62.
    device = Device(make_row, lambda time: 1.1 if time >= 15 else 1.0)
    first, second = device.measure(cells)
    assert Counter(device.taken) == {cell: 2 if cell in cells[:20] else 1 for cell in cells}
    assert first.drift == pytest.approx(0.1) and first.again == 20 and first.settled
    assert first.drift_again == 0.0 and (second.again, second.settled) == (0, True)
    assert not device.marked and "20 measured again" in str(first)


def test_drift_that_does_not_end_is_told_with_every_measurement(
    make_row: MakeRow, cells: list[Architecture]
) -> None:
    device = Device(make_row, lambda time: 1.0 + 0.01 * time)
    (block,) = device.measure(cells[:20])
    assert not block.settled and str(block).endswith("still drifting")
    assert set(device.marked) == set(cells[:20])
    assert all("the anchor network drifted by +" in reason for reason in device.marked.values())


def test_a_few_disturbed_measurements_are_taken_again(make_row: MakeRow, cells: list[Architecture]) -> None:
    device = Device(make_row, lambda _time: 1.0)
    device.warned, device.failing = {cells[3], cells[7]}, {cells[5]}
    (block,) = device.measure(cells[:20])
    assert device.taken == [*cells[:20], cells[3], cells[7]]
    assert (block.again, block.settled) == (2, True)


def test_a_device_that_is_always_disturbed_is_not_measured_twice(
    make_row: MakeRow, cells: list[Architecture]
) -> None:
    device = Device(make_row, lambda _time: 1.0)
    device.warned = set(cells)
    device.measure(cells)
    assert device.taken == cells


def test_a_failing_anchor_stops_nothing(make_row: MakeRow, cells: list[Architecture]) -> None:
    device = Device(make_row, lambda _time: 1.0)
    blocks = measure_in_blocks(
        cells, device.take, lambda: None, device.marked.__setitem__, size=20, limit=0.03
    )
    assert device.taken == cells and [b.drift for b in blocks] == [None, None]


def test_few_architectures_need_no_anchor(make_row: MakeRow, cells: list[Architecture]) -> None:
    device = Device(make_row, lambda time: 1.0 + time)
    assert device.measure(cells[:9]) == [] and device.time == 9


class DriftingAgent(FakeAgent):
    """Ten times slower from the `change`-th measurement on."""

    change = 6

    def send(self, frame: Any) -> None:
        super().send(frame)
        answer = self.frames[-1]
        if answer.get("event") == "result":
            count = sum(request["op"] == "measure" for request in self.requests)
            size = len(Path(frame["artifact"]["path"]).read_bytes())
            answer["latency"] = latency(size / 1e5 * (10 if count >= self.change else 1))


def test_profile_keeps_the_second_measurement_and_the_first_stays_in_the_store(
    space: Space, open_with: OpenWith, home_folder: Path
) -> None:
    open_with(lambda _profile: DriftingAgent())
    with Store() as store:
        report = profile_device(DeviceProfile(name="board"), space, space.references, store)
        assert (report.measured, report.repeated, report.reused) == (10, 10, 0)
        assert store.counts()["measurements"] == 20
        again = profile_device(DeviceProfile(name="board"), space, space.references, store)
        assert (again.measured, again.reused) == (0, 10)
        assert [row.latency_ms for row in again.rows] == [row.latency_ms for row in report.rows]
    (block,) = report.blocks
    assert block.drift == pytest.approx(9.0) and block.drift_again == 0.0


def test_repeatability(make_row: MakeRow, cells: list[Architecture]) -> None:
    first = [make_row(cell, float(n + 1)) for n, cell in enumerate(cells[:5])]
    second = [make_row(cell, 1.02 * (n + 1)) for n, cell in enumerate(cells[:5])]
    found = compare_sessions(first, list(reversed(second)))
    assert found.architectures == 5 and found.kendall == pytest.approx(1.0)
    assert found.median_difference == pytest.approx(0.02)
    swapped = [make_row(cells[0], 2.0), make_row(cells[1], 1.0)]
    assert compare_sessions(first, swapped).kendall == pytest.approx(-1.0)
    nothing = compare_sessions(first, [make_row(cells[0], None, status="error")])
    assert nothing.kendall is None and "too few" in str(nothing)
