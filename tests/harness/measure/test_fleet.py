"""Devices side by side: retries, quarantine, and nobody waiting for another."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from harness_helpers import FakeAgent, OpenWith

from harness.cli import main
from harness.core.errors import DeviceUnavailableError, UsageError
from harness.devices.profile import DeviceProfile
from harness.measure.fleet import MAX_FAILURES, DeviceStatus, Fleet
from harness.measure.reports import ProfileReport
from harness.store import Store
from harness.transport.base import TransportClosedError
from modnas.spaces import Space

Opener = Callable[[DeviceProfile], FakeAgent]


class Dying(FakeAgent):
    """An agent that is gone after some measurements. The first request of all is a probe."""

    def __init__(self, measurements: int) -> None:
        super().__init__()
        self._left = measurements + 1

    def send(self, frame: Mapping[str, Any]) -> None:
        if self._left == 0:
            raise TransportClosedError("it is gone")
        self._left -= 1
        super().send(frame)


def run_fleet(space: Space, open_with: OpenWith, opener: Opener, *names: str) -> list[DeviceStatus]:
    open_with(opener)
    profiles = [DeviceProfile(name=name) for name in names]
    with Store() as store:
        return Fleet(profiles, space, space.references[:4], store, backoff_s=(0.01,)).run()


def test_one_device_that_dies_does_not_stop_the_others(space: Space, open_with: OpenWith) -> None:
    def opener(profile: DeviceProfile) -> FakeAgent:
        return Dying(0) if profile.name == "bad" else FakeAgent()

    good, bad, other = run_fleet(space, open_with, opener, "good", "bad", "other")
    assert (good.state, bad.state, other.state) == ("done", "quarantined", "done")
    assert (good.done, bad.done, other.done) == (4, 0, 4) and good.report and good.report.measured == 4
    assert bad.error is not None and f"{MAX_FAILURES} failures in a row" in bad.error
    assert "it is gone" in bad.error and bad.report is None


def test_retry_continues_where_it_stopped(space: Space, open_with: OpenWith) -> None:
    opened: list[FakeAgent] = []

    def opener(_profile: DeviceProfile) -> FakeAgent:
        opened.append(Dying(1))
        return opened[-1]

    (status,) = run_fleet(space, open_with, opener, "shaky")
    assert status.state == "done" and (status.done, status.total) == (4, 4)
    measured = [f["artifact"]["sha256"] for a in opened for f in a.requests if f["op"] == "measure"]
    assert len(measured) == 4, "nothing is measured twice"
    assert status.failures == 1, "a result in between starts the count again"


@pytest.mark.parametrize("error", [UsageError("wrong"), ZeroDivisionError("odd")])
def test_what_will_not_get_better_is_not_tried_again(space: Space, error: Exception) -> None:
    calls: list[str] = []

    def failing(profile: DeviceProfile, *_: Any, **__: Any) -> ProfileReport:
        calls.append(profile.name)
        raise error

    with Store() as store:
        fleet = Fleet([DeviceProfile(name="a")], space, [], store, profile_one=failing)
        (status,) = fleet.run()
    assert calls == ["a"] and status.state == "quarantined" and str(error) in str(status.error)


def test_devices_are_measured_at_the_same_time(space: Space) -> None:
    together = threading.Barrier(3, timeout=10)

    def meeting(profile: DeviceProfile, *_: Any, **__: Any) -> ProfileReport:
        together.wait()  # breaks unless all three are here
        return ProfileReport(profile.id)

    with Store() as store:
        profiles = [DeviceProfile(name=name) for name in "abc"]
        changes: list[int] = []
        fleet = Fleet(profiles, space, [], store, profile_one=meeting)
        statuses = fleet.run(lambda statuses: changes.append(len(statuses)))
    assert [status.state for status in statuses] == ["done"] * 3 and set(changes) == {3}


def test_status_tells_rate_time_left_and_temperature(space: Space) -> None:
    seen: list[tuple[float | None, float | None]] = []
    status_of: list[DeviceStatus] = []

    def measuring(profile: DeviceProfile, *_: Any, on_start: Any, on_row: Any, **__: Any) -> ProfileReport:
        report = ProfileReport(profile.id, measured=1)
        on_start(4, 2)
        status_of[0].began -= 10.0
        on_row(type("Row", (), {"record": {"after": {"temperature_c": 61.5}}}), report)
        seen.append((status_of[0].rate, status_of[0].eta_s))
        return report

    with Store() as store:
        fleet = Fleet([DeviceProfile(name="a")], space, [], store, profile_one=measuring)
        status_of += fleet.statuses
        (status,) = fleet.run()
    ((rate, eta_s),) = seen
    assert rate == pytest.approx(0.1, rel=0.1) and eta_s == pytest.approx(30.0, rel=0.1)
    assert (status.total, status.reused, status.temperature_c) == (4, 2, 61.5)
    assert DeviceStatus("b").rate is None and DeviceStatus("b").eta_s is None


def test_command_line_with_several_devices(
    home_folder: Any, monkeypatch: pytest.MonkeyPatch, open_with: OpenWith, capsys: pytest.CaptureFixture[str]
) -> None:
    (home_folder / "devices").mkdir(parents=True)
    for name in ("good", "bad"):
        (home_folder / "devices" / f"{name}.yaml").write_text(f"name: {name}\n")

    def opener(profile: DeviceProfile) -> FakeAgent:
        if profile.name == "bad":
            raise DeviceUnavailableError("nobody home")
        return FakeAgent()

    open_with(opener)
    monkeypatch.setattr("harness.measure.fleet.BACKOFF_S", (0.01,))
    command = ["profile", "--device", "good", "--device", "bad", "--archs", "2", "--json"]
    command += ["--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"]
    assert main(command) == 1
    read = capsys.readouterr()
    good, bad = json.loads(read.out)["devices"]
    assert (good["device"], good["state"], good["measured"], good["error"]) == ("good", "done", 2, None)
    assert (bad["device"], bad["state"]) == ("bad", "quarantined") and "nobody home" in bad["error"]
    assert "quarantined" in read.err and "bad: " in read.err
    assert main([*command[:2], "bad", "--device", "bad@2", *command[5:]]) == 3
    read = capsys.readouterr()
    document = json.loads(read.out)
    assert [one["state"] for one in document["devices"]] == ["quarantined"] * 2
    assert document["error"]["code"] == "device-unavailable"
    assert read.err.splitlines()[-1] == f"error: {document['error']['message']}"
