"""Each device measures its own architectures: boards beside each other, this machine's devices alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from harness_helpers import FakeAgent, OpenWith

from harness.core.errors import DeviceUnavailableError
from harness.core.progress import Event, Stage, silent
from harness.devices.profile import DeviceProfile
from harness.measure import fleet, side_by_side
from harness.measure.reports import ProfileReport
from harness.measure.side_by_side import measure_each
from harness.store import Store
from modnas.spaces import Space


def board(name: str, host: str | None = None, batch: int = 1) -> DeviceProfile:
    """A board of that name at another host or its own."""
    transport = {"ssh": {"host": host or f"{name}.local"}}
    return DeviceProfile.model_validate({"name": name, "transport": transport, "batch": batch})


class Measuring:
    """Plays `profile_device`: who measures at the same time, and what."""

    def __init__(self, together: int) -> None:
        self.lock, self.barrier = threading.Lock(), threading.Barrier(together, timeout=5)
        self.running: set[str] = set()
        self.met: list[set[str]] = []
        self.wanted: dict[str, list[Any]] = {}

    def __call__(self, profile: DeviceProfile, _space: Any, wanted: Any, *_: Any, **__: Any) -> ProfileReport:
        with self.lock:
            self.running.add(profile.id)
            self.wanted[profile.id] = list(wanted)
        if profile.ssh:
            self.barrier.wait()  # breaks unless the other board is here
        with self.lock:
            self.met.append(set(self.running))
        if profile.ssh:
            self.barrier.wait()
        with self.lock:
            self.running.remove(profile.id)
        return ProfileReport(profile.id)


def test_boards_at_once_and_this_machines_devices_alone(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring = Measuring(together=2)
    monkeypatch.setattr(side_by_side, "profile_device", measuring)
    profiles = [DeviceProfile(name="cpu"), board("a"), DeviceProfile(name="gpu"), board("b")]
    wanted = {profile.id: space.references[n : n + 2] for n, profile in enumerate(profiles)}
    with Store() as store:
        assert measure_each(profiles, space, wanted, store, progress=silent).lost == {}
    assert measuring.wanted == {name: list(some) for name, some in wanted.items()}
    assert sorted(map(sorted, measuring.met)) == [["a", "b"], ["a", "b"], ["cpu"], ["gpu"]]


def test_two_devices_of_one_board_wait_for_each_other(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = Measuring(together=1)
    monkeypatch.setattr(side_by_side, "profile_device", measuring)
    profiles = [board("a", "pi.local"), board("b", "pi.local")]
    wanted = {profile.id: space.references[:1] for profile in profiles}
    with Store() as store:
        measure_each(profiles, space, wanted, store, progress=silent)
    assert measuring.met == [{"a"}, {"b"}]


def test_a_device_that_is_gone_is_told_and_the_others_are_measured(
    space: Space, open_with: OpenWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "BACKOFF_S", (0.01,))
    opened: list[str] = []

    def opener(profile: DeviceProfile) -> FakeAgent:
        opened.append(profile.name)
        if profile.name == "gone":
            raise DeviceUnavailableError("device gone: no answer")
        return FakeAgent()

    open_with(opener)
    seen: list[Event] = []
    profiles = [board("gone"), board("there"), board("idle")]
    wanted = {"gone": space.references[:2], "there": space.references[2:5], "idle": []}
    with Store() as store:
        outcome = measure_each(profiles, space, wanted, store, progress=seen.append)
        rows = store.device_measurements("there", space.name, space.variant)
    assert list(outcome.lost) == ["gone"] and "no answer" in outcome.lost["gone"]
    assert list(outcome.anchors_ms) == ["there"] and outcome.anchors_ms["there"] > 0
    assert {row.arch for row in rows} == {a.string for a in space.references[2:5]}
    assert opened.count("gone") == fleet.MAX_FAILURES and "idle" not in opened
    last = seen[-1]
    assert isinstance(last, Stage) and last.ended and (last.done, last.total) == (3, 5)
