"""`--retry-failed`: failures that may be gone are measured again, once; the others are remembered."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone

import pytest
from harness_helpers import TINY, FakeAgent, OpenWith

from harness.cli import main
from harness.devices.profile import DeviceProfile
from harness.export import ArtifactCache
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.store import Store
from modnas.spaces import Architecture, Space


class Failing(FakeAgent):
    """Fails for one artifact, for a reason."""

    def __init__(self, sha256: str, reason: str = "timeout") -> None:
        super().__init__()
        self.failing, self.reason = {sha256}, reason

    def receive(self, timeout_s: float) -> dict[str, object]:
        frame = super().receive(timeout_s)
        return {**frame, "reason": self.reason} if frame.get("status") == "error" else frame


@pytest.fixture
def cells(space: Space) -> list[Architecture]:
    return [space.architecture((op, 0, 0, 0, 1, 0)) for op in (1, 2, 3)]


def profile(space: Space, cells: list[Architecture], before: datetime | None = None) -> ProfileReport:
    with Store() as store:
        return profile_device(DeviceProfile(name="board"), space, cells, store, retry_before=before)


@pytest.mark.parametrize(
    ("reason", "again"), [("timeout", 1), ("crashed", 1), ("memory", 1), ("mismatch", 0), ("nan", 0)]
)
def test_only_what_may_be_gone_is_measured_again(
    space: Space,
    cells: list[Architecture],
    open_with: OpenWith,
    reason: str,
    again: int,
) -> None:
    bad = ArtifactCache().get(space, cells[1], 1).sha256
    open_with(lambda _profile: Failing(bad, reason))
    assert [row.reason for row in profile(space, cells).rows] == [None, reason, None]
    assert profile(space, cells).measured == 0, "nobody asked for it"
    open_with(lambda _profile: FakeAgent())
    report = profile(space, cells, datetime.now(timezone.utc))
    assert (report.measured, report.failed) == (again, 1 - again)


def test_a_failure_of_this_very_call_is_not_tried_again(
    space: Space, cells: list[Architecture], open_with: OpenWith
) -> None:
    began = datetime.now(timezone.utc)
    bad = ArtifactCache().get(space, cells[1], 1).sha256
    open_with(lambda _profile: Failing(bad))
    assert profile(space, cells, began).measured == 3
    assert profile(space, cells, began).measured == 0, "as after a lost link in between"


def test_the_advice_for_a_vector_with_a_failed_reference(
    space: Space, open_with: OpenWith, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ArtifactCache().get(space, space.references[3], 1).sha256
    open_with(lambda _profile: Failing(bad))
    command = ["features", "--device", "cpu", *TINY]
    assert main(command) == 1
    open_with(lambda _profile: FakeAgent())
    capsys.readouterr()
    assert main(command) == 1, "the failure is remembered"
    said = capsys.readouterr().err
    assert main(shlex.split(said[said.index("modnas-hw profile") :])[1:]) == 0
    assert main(command) == 0


def test_command_line(space: Space, open_with: OpenWith, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ArtifactCache().get(space, space.references[0], 1).sha256
    open_with(lambda _profile: Failing(bad))
    command = ["profile", "--device", "cpu", "--archs", "reference", *TINY]
    assert main(command) == 1
    open_with(lambda _profile: FakeAgent())
    assert main(command) == 1, "the failure is remembered"
    assert main([*command, "--retry-failed"]) == 0
    assert "measured 1, reused 9" in capsys.readouterr().err
