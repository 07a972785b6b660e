"""A failure is believed when a network that is known to work does not fail too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from harness_helpers import TINY, FakeAgent, MakeRow, OpenWith

from harness.backends import tvm_exporter
from harness.cli import main
from harness.core.errors import DeviceUnavailableError, needed
from harness.devices.profile import DeviceProfile
from harness.export import Artifact, ArtifactCache, ExportError
from harness.export.tvm.errors import CompileError, CompilerKilledError
from harness.measure import tuning
from harness.measure.control import control_network
from harness.measure.failures import describe_failures, failure_text
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.store import Store
from harness.store.metrics import ENERGY
from modnas.spaces import Architecture, Space

BOARD = DeviceProfile(name="board")


def profile(space: Space, cells: Sequence[Architecture], device: DeviceProfile = BOARD) -> ProfileReport:
    with Store() as store:
        return profile_device(device, space, cells, store)


def stored() -> int:
    with Store() as store:
        return store.counts()["measurements"]


BOOM = {"event": "result", "status": "error", "reason": "runtime", "message": "boom"}


class Failing(FakeAgent):
    """Fails from the `after`-th measurement on, with a result or with an error."""

    def __init__(self, answer: dict[str, Any] = BOOM, after: int = 0) -> None:
        super().__init__()
        self.answer, self.after = answer, after

    def send(self, frame: Any) -> None:
        super().send(frame)
        if frame["op"] == "measure" and sum(r["op"] == "measure" for r in self.requests) > self.after:
            self.frames[-1] = {"id": frame["id"], **self.answer}


@pytest.mark.parametrize("reason", ["runtime", "crashed", "worker", "memory", "timeout", "nan", "mismatch"])
def test_a_device_that_fails_everything_stores_nothing(
    space: Space, open_with: OpenWith, reason: str
) -> None:
    open_with(lambda _profile: Failing({**BOOM, "reason": reason}))
    with pytest.raises(DeviceUnavailableError, match=f"device board: .*known to work fails: {reason}: boom"):
        profile(space, space.references[:3])
    assert stored() == 0


def test_a_device_that_breaks_keeps_what_it_measured(space: Space, open_with: OpenWith) -> None:
    open_with(lambda _profile: Failing(after=2))
    with pytest.raises(DeviceUnavailableError, match="known to work"):
        profile(space, space.references[:5])
    assert stored() == 2


def test_an_error_of_the_board_is_no_row(space: Space, open_with: OpenWith) -> None:
    agent = Failing({"event": "error", "reason": "environment", "message": "no CPU 7"})
    open_with(lambda _profile: agent)
    with pytest.raises(DeviceUnavailableError, match=r"device board: .*no CPU 7"):
        profile(space, space.references[:3])
    assert stored() == 0
    assert sum(frame["op"] == "measure" for frame in agent.requests) == 1, "there is nothing to find out"


def test_every_failure_is_checked_under_the_profiles_options(space: Space, open_with: OpenWith) -> None:
    cells = [space.architecture((op, 0, 0, 0, 1, 0)) for op in (1, 2, 3)]
    agent = FakeAgent()
    agent.failing = {ArtifactCache().get(space, cell, 1).sha256 for cell in cells[:2]}
    open_with(lambda _profile: agent)
    policy = {"memory_limit_mb": 5, "timeout_s": 7.0}
    device = DeviceProfile.model_validate({"name": "board", "options": {"affinity": [1]}, "policy": policy})
    assert [row.status for row in profile(space, cells, device).rows] == ["error", "error", "ok"]
    control = ArtifactCache().get(*control_network(), 1).sha256
    asked = [f for f in agent.requests if f["op"] == "measure" and f["artifact"]["sha256"] == control]
    assert len(asked) == 2
    assert asked[0]["backend"]["options"]["affinity"] == [1]
    assert asked[0]["protocol"]["timeout_s"] == 7.0
    assert asked[0]["protocol"]["memory_limit_mb"] is None, "what fits into it is the network's matter"


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "No space left"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (MemoryError(), "MemoryError"),
        (ImportError("No module named 'sympy'"), "sympy"),
        (ExportError("cannot write: No space left on device"), "No space left"),
        (CompileError("RuntimeError", "ld: final link failed: No space left on device"), "this machine"),
        (ExportError("the exporter is broken"), "known to work"),
        (CompileError("cannot find crt1.o"), "known to work"),
    ],
)
def test_a_host_that_can_make_no_file_stores_nothing(
    space: Space, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fail(*_: Any, **__: Any) -> Artifact:
        raise error

    monkeypatch.setattr(ArtifactCache, "get", fail)
    with pytest.raises(DeviceUnavailableError, match=says):
        profile(space, space.references[:3])
    assert stored() == 0


def test_a_killed_compiler_is_asked_once_more(monkeypatch: pytest.MonkeyPatch, space: Space) -> None:
    kills = [2, 1]

    def compile_(_compiler: Any, _model: Any, output: Any, *_: Any) -> dict[str, Any]:
        kills[0] -= 1
        if kills[0] > 0:
            raise CompilerKilledError("the compiler ended with signal 9")
        output.write_bytes(b"library")
        return {"tuned": False}

    monkeypatch.setattr(tvm_exporter.Compiler, "compile", compile_)
    monkeypatch.setattr(tvm_exporter.Compiler, "host", lambda _: ({"kind": "llvm"}, "0"))
    device = DeviceProfile(name="board", backend="tvm")
    made = tvm_exporter.TvmExporter(ArtifactCache(), device).get(space, space.references[0], 1)
    assert made.path.read_bytes() == b"library" and kills[0] == 0
    kills[0] = 3
    with pytest.raises(CompileError, match="signal 9"):
        tvm_exporter.TvmExporter(ArtifactCache(), device).get(space, space.references[1], 1)


@pytest.mark.parametrize(("reason", "answers"), [("timeout", "ok"), ("mismatch", "error")])
def test_a_failure_does_not_hide_a_success(
    space: Space, open_with: OpenWith, reason: str, answers: str
) -> None:
    cells = [space.architecture((op, 0, 0, 0, 1, 0)) for op in (1, 2, 3)]
    open_with(lambda _profile: FakeAgent())
    first = profile(space, cells).rows
    bad = ArtifactCache().get(space, cells[1], 1).sha256

    class Disturbed(FakeAgent):
        def receive(self, timeout_s: float) -> dict[str, Any]:
            frame = super().receive(timeout_s)
            return {**frame, "reason": reason} if frame.get("status") == "error" else frame

    def disturbed(_profile: Any) -> FakeAgent:
        agent = Disturbed()
        agent.failing = {bad}
        return agent

    open_with(disturbed)
    with Store() as store:
        again = profile_device(BOARD, space, cells, store, fresh=True).rows
    assert [row.status for row in again] == ["ok", answers, "ok"]
    if answers == "ok":
        assert again[1].latency_ms == first[1].latency_ms
        assert f"measured again it failed: {reason}: it crashed" in again[1].record["warnings"]
    assert profile(space, cells).rows[1].status == answers, "so it is in the store"


class Refusing:
    """A session whose every kernel fails, and a control that does, too."""

    def measure_kernel(self, *_: Any) -> dict[str, Any]:
        return {"status": "error", "reason": "runtime", "message": "broken"}

    def believe(self, failure: dict[str, Any]) -> None:
        raise DeviceUnavailableError(f"not {failure['reason']}")


def test_a_failed_candidate_of_tuning_is_checked_too() -> None:
    broken: Any = Refusing()
    asked = {"library": "x.so", "entry": "main", "shapes": [[1]], "dtypes": ["float32"]}
    with pytest.raises(DeviceUnavailableError, match="not runtime"):
        tuning._Bench(broken, broken).answer(asked)


def test_a_sensor_that_is_not_found_again_ends_it(
    space: Space, fake_agents: list[FakeAgent], open_with: OpenWith
) -> None:
    agent = FakeAgent()
    agent.sensor = {"sensor": "rapl:package-0", "reason": None}
    agent.energy = {"reason": "no power sensor found"}
    open_with(lambda _profile: agent)
    with (
        pytest.raises(DeviceUnavailableError, match="sensor was lost: no power sensor found"),
        Store() as store,
    ):
        profile_device(BOARD, space, space.references[:2], store, metrics=(ENERGY,))
    assert stored() == 0


def test_the_check_tries_what_will_be_asked(capsys: pytest.CaptureFixture[str], open_with: OpenWith) -> None:
    open_with(lambda _profile: Failing())
    assert main(["devices", "check", "cpu"]) == 3
    assert "step 'control network' failed: device cpu: " in capsys.readouterr().err
    assert main(["profile", "--device", "cpu", "--archs", "2", *TINY]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_failures_are_told_on_one_line(make_row: MakeRow) -> None:
    bad = {"status": "error", "latency_ms": None}
    rows = [make_row(), make_row(**bad, reason="timeout", message="not finished\nafter 4 s")]
    assert describe_failures(rows[:1]) is None
    assert describe_failures(rows) == "1 of 2 failed: timeout: not finished after 4 s"
    rows += [
        make_row(**bad, reason=reason, message="x" * 300) for reason in ("nan", "nan", "memory", "runtime")
    ]
    told = describe_failures(rows, remembered=2) or ""
    assert told.startswith(
        "5 of 6 failed (2 of them from the store: profile --retry-failed measures them again): 2 x nan: x"
    )
    assert told.endswith("1 other reasons") and len(told) < 450 and "\n" not in told
    lasting = [row for row in rows if row.reason == "nan"]
    assert "--retry-failed" not in (describe_failures(lasting, remembered=2) or "--retry-failed")
    assert failure_text(rows[0]) is None and len(failure_text(rows[3], 40) or "") == 40


def test_what_is_needed_here_says_what_could_not_be_done() -> None:
    with pytest.raises(DeviceUnavailableError, match=r"cannot eat: .*No such file"), needed("eat"):
        raise FileNotFoundError(2, "No such file")
    with pytest.raises(ValueError, match="mine"), needed("eat"):
        raise ValueError("mine")
