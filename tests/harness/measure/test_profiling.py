"""Measuring many architectures: nothing twice, every failure a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from harness_helpers import FakeAgent, OpenWith

from harness.core.errors import DeviceUnavailableError
from harness.datasets.training_sets import device_values
from harness.devices.profile import DeviceProfile
from harness.export import ArtifactCache, ExportError
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.store import Measurement, Store
from harness.transport.base import TransportClosedError
from modnas.spaces import Architecture, Space

PROFILE = DeviceProfile(name="board")


def profile(
    space: Space, archs: Sequence[Architecture], device: DeviceProfile = PROFILE, **options: Any
) -> ProfileReport:
    with Store() as store:
        return profile_device(device, space, archs, store, **options)


def changed(**fields: Any) -> DeviceProfile:
    return DeviceProfile.model_validate({"name": "board", **fields})


@pytest.mark.usefixtures("fake_agents")
def test_rows_come_in_the_order_asked_for_and_once(space: Space) -> None:
    cells = list(space.references[:5])
    report = profile(space, [*cells, cells[0]])
    assert [row.arch for row in report.rows] == [cell.string for cell in cells]
    assert (report.measured, report.reused, report.failed) == (5, 0, 0)
    again = profile(space, list(reversed(cells)))
    assert [row.arch for row in again.rows] == [cell.string for cell in reversed(cells)]
    assert (again.measured, again.reused, again.failed) == (0, 5, 0)
    assert {row.latency_ms for row in again.rows} == {row.latency_ms for row in report.rows}


def test_measuring_order_is_random_and_depends_on_the_seed(
    space: Space, fake_agents: list[FakeAgent]
) -> None:
    cells = space.references
    orders = []
    for number, seed in enumerate((1, 1, 2)):
        profile(space, cells, changed(name=f"b{number}"), seed=seed)
        measured = [f["artifact"]["sha256"] for f in fake_agents[-1].requests if f["op"] == "measure"]
        orders.append(measured[1:-1])  # the first and the last are the anchor
    asked = [ArtifactCache().get(space, cell, 1).sha256 for cell in cells]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != asked and sorted(orders[0]) == sorted(asked)


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize(
    ("fields", "reused"),
    [
        ({"description": "other words"}, 1),
        ({"policy": {"timeout_s": 5.0}}, 1),
        ({"policy": {"memory_limit_mb": None}}, 1),
        ({"policy": {"precision": 0.5}}, 0),
        ({"policy": {"max_time_s": 1.0}}, 0),
        ({"options": {"threads": 2}}, 0),
        ({"options": {"graph_optimization": "basic"}}, 0),
        ({"batch": 2}, 0),
        ({"name": "other"}, 0),
    ],
)
def test_what_makes_a_measurement_another(space: Space, fields: dict[str, Any], reused: int) -> None:
    cells = [space.references[0]]
    profile(space, cells)
    assert profile(space, cells, changed(**fields)).reused == reused


@pytest.mark.usefixtures("fake_agents")
def test_network_size_makes_a_measurement_another(space: Space) -> None:
    wider = type(space)(channels=5, cells=1, input_shape=(1, 8, 8))  # type: ignore[call-arg]
    profile(space, [space.references[0]])
    assert profile(wider, [space.references[0]]).reused == 0


def test_other_machine_is_measured_again(
    space: Space, fake_agents: list[FakeAgent], open_with: OpenWith
) -> None:
    cells = list(space.references[:2])
    profile(space, cells)

    def other(_profile: Any) -> FakeAgent:
        agent = FakeAgent()
        agent.frames[0]["inventory"] = {"machine": "another"}
        return agent

    open_with(other)
    report = profile(space, cells)
    assert report.measured == 2 and len(fake_agents) == 1


@pytest.mark.usefixtures("fake_agents")
def test_values_are_those_of_the_state_asked_for_last(space: Space) -> None:
    cells = list(space.references[:3])
    two_threads = changed(options={"threads": 2})
    first = {row.arch: row.latency_ms for row in profile(space, cells).rows}
    profile(space, cells[:1], two_threads)
    with Store() as store:
        assert len(device_values(store, "board", space, "latency")) == 1
    assert profile(space, cells).reused == 3
    with Store() as store:
        values = device_values(store, "board", space, "latency")
    assert {a.string: value for a, value in values.items()} == first


def failing_agent(open_with: OpenWith, sha256: str) -> None:
    def open_fake(_profile: Any) -> FakeAgent:
        agent = FakeAgent()
        agent.failing.add(sha256)
        return agent

    open_with(open_fake)


def test_failure_on_the_device_is_a_row(space: Space, open_with: OpenWith) -> None:
    cells = [space.architecture((op, 0, 0, 0, 1, 0)) for op in (1, 2, 3)]
    failing_agent(open_with, ArtifactCache().get(space, cells[1], 1).sha256)
    report = profile(space, cells)
    assert [row.status for row in report.rows] == ["ok", "error", "ok"]
    bad = report.rows[1]
    assert (bad.reason, bad.message) == ("crashed", "it crashed") and report.failed == 1
    measures = [bad.latency_ms, bad.latency_n, bad.energy_mj, bad.memory_mb, bad.max_abs_diff]
    assert measures == [None] * 5, "what was not measured is absent"
    again = profile(space, cells)
    assert (again.measured, again.reused, again.failed) == (0, 3, 1), "a failure is remembered"


def test_failure_under_other_limits_is_tried_again(space: Space, open_with: OpenWith) -> None:
    cells = [space.architecture((op, 0, 0, 0, 1, 0)) for op in (1, 2, 3)]
    failing_agent(open_with, ArtifactCache().get(space, cells[1], 1).sha256)
    profile(space, cells, changed(policy={"memory_limit_mb": 10}))
    open_with(lambda _profile: FakeAgent())
    report = profile(space, cells)
    assert (report.measured, report.reused, report.failed) == (1, 2, 0)


@pytest.mark.usefixtures("fake_agents")
def test_failure_to_export_is_a_row(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = list(space.references[:3])
    get = ArtifactCache.get

    def failing(
        cache: ArtifactCache, space: Space, architecture: Architecture, *rest: Any, **form: Any
    ) -> Any:
        if architecture == cells[2]:
            raise ExportError("no writer")
        return get(cache, space, architecture, *rest, **form)

    monkeypatch.setattr(ArtifactCache, "get", failing)
    report = profile(space, cells)
    assert [(row.status, row.reason) for row in report.rows] == [("ok", None)] * 2 + [("error", "export")]
    assert report.rows[2].artifact_sha256 == "" and report.rows[2].message == "no writer"


def test_rows_before_the_device_went_away_are_kept(space: Space, open_with: OpenWith) -> None:
    class Vanishing(FakeAgent):
        def receive(self, timeout_s: float) -> dict[str, Any]:
            if len(self.requests) == 4:  # a probe and two measurements are done
                raise TransportClosedError("gone")
            return super().receive(timeout_s)

    open_with(lambda _profile: Vanishing())
    seen: list[Measurement] = []
    with pytest.raises(DeviceUnavailableError, match="gone"):
        profile(space, space.references[:5], on_row=lambda row, _report: seen.append(row))
    assert len(seen) == 2
    open_with(lambda _profile: FakeAgent())
    report = profile(space, space.references[:5])
    assert (report.measured, report.reused) == (3, 2)


@pytest.mark.usefixtures("fake_agents")
def test_row_holds_what_was_asked_and_what_was_seen(space: Space) -> None:
    device = changed(batch=3, options={"threads": 2})
    (row,) = profile(space, [space.references[0]], device).rows
    assert (row.device, row.batch, row.variant) == ("board@3", 3, space.variant)
    assert row.request["options"]["threads"] == 2
    assert row.request["protocol"] == device.policy.model_dump()
    assert row.request["agent_version"] == "0+fake" and row.request["runtime_version"] == "1.0"
    assert row.record["latency"]["samples_ms"] and "id" not in row.record
    assert row.latency_ci_low_ms and row.latency_ms and row.latency_p90_ms
    assert row.latency_ci_low_ms < row.latency_ms < row.latency_p90_ms
    assert row.energy_mj is None


@pytest.mark.usefixtures("fake_agents")
def test_callbacks_tell_how_far_it_is(space: Space) -> None:
    profile(space, space.references[:2])
    started: list[tuple[int, int]] = []
    counts: list[int] = []
    profile(
        space,
        space.references[:5],
        on_start=lambda missing, reused: started.append((missing, reused)),
        on_row=lambda _row, report: counts.append(report.measured),
    )
    assert started == [(3, 2)] and counts == [1, 2, 3]
