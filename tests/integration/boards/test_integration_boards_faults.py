"""What boards do: vanish, freeze, reboot, fill up. Nothing is lost, nothing is measured twice."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boards_host import OtherHost, spin, spin_artifact
from boards_namespace import NamespaceBoard

from harness.agent_client import AgentClient
from harness.devices.profile import DeviceProfile
from harness.devices.session import DeviceSession, open_transport
from harness.errors import DeviceUnavailableError
from harness.profiling import ProfileReport, profile_device
from harness.store import Measurement, Store
from modnas.spaces import get_space

SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
CELLS = list(SPACE.references[:3])
#: A measurement that lasts `max_time_s`, whatever the numbers.
LONG = {"precision": 1e-5, "max_time_s": 2.0}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)


class Profiling:
    """Profiles `CELLS` on a board in a thread, and notes what became of it."""

    def __init__(self, board: NamespaceBoard, store: Store, name: str, **changes: Any) -> None:
        self.board = board
        self.rows: list[Measurement] = []
        self.report: ProfileReport | None = None
        self.error: Exception | None = None
        self.ended_at = 0.0
        content = board.endpoint().profile(name, policy=LONG, **changes)
        self._arguments = (DeviceProfile.model_validate(content), SPACE, CELLS, store)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.report = profile_device(*self._arguments, on_row=lambda row, _: self.rows.append(row))
        except Exception as error:
            self.error = error
        self.ended_at = time.monotonic()

    def wait_until_measuring(self, rows: int = 1) -> None:
        """Until so many rows are there and the next measurement is under way."""
        while len(self.rows) < rows and self._thread.is_alive():
            time.sleep(0.02)
        while not self._is_measuring() and self._thread.is_alive():
            time.sleep(0.02)

    def _is_measuring(self) -> bool:
        """The zygote has a child: something is being measured."""
        zygotes = [pid for pid, line in self.board.commands().items() if ".pyz zygote" in line]
        return len(zygotes) == 2

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()


def journal_entries(board: NamespaceBoard) -> int:
    return len(board.shell("cat /home/board/.modnas-agent/journal/*.json").splitlines())


@pytest.mark.slow
def test_cut_links_and_a_frozen_board(make_board: Callable[[], NamespaceBoard]) -> None:
    """Three boards at once, since most of it is waiting: cut for 20 s, cut for good, frozen."""
    back, gone, frozen = make_board(), make_board(), make_board()
    with Store() as store:
        runs = [Profiling(b, store, n) for b, n in ((back, "back"), (gone, "gone"), (frozen, "frozen"))]
        for run in runs:
            run.wait_until_measuring()
        hit_at = time.monotonic()
        back.cut()
        gone.cut()
        frozen.freeze()
        time.sleep(20.0)
        back.set_link()
        for run in runs:
            run.join()
    assert runs[0].report is not None, runs[0].error
    assert [row.status for row in runs[0].report.rows] == ["ok"] * 3, "no candidate is lost"
    assert journal_entries(back) == 3, "none is measured twice"
    for run, words in ((runs[1], "was lost|silent for|took more"), (runs[2], "silent for")):
        assert isinstance(run.error, DeviceUnavailableError) and run.error.exit_code == 3
        assert re.search(words, str(run.error)) and "not reached again within 26 s" in str(run.error)
        assert run.ended_at - hit_at < 30.0, "reported in time"
        assert len(run.rows) == 1, "what was measured before is kept"


@pytest.mark.slow
def test_killed_agent_and_reboot(board: NamespaceBoard) -> None:
    with Store() as store:
        run = Profiling(board, store, "board")
        run.wait_until_measuring(0)
        for pid in board.agents():
            os.kill(pid, signal.SIGKILL)
        run.wait_until_measuring(1)
        board.reboot(off_s=1.0)
        run.join()
    assert run.report is not None, run.error
    assert [row.status for row in run.report.rows] == ["ok"] * 3
    assert journal_entries(board) == 3


def test_agent_that_dies_each_time_is_given_up(board: NamespaceBoard, tmp_path: Path) -> None:
    path, sha256 = spin_artifact(tmp_path, 1.0)
    profile = DeviceProfile.model_validate(board.endpoint().profile("board", reconnect_s=2.0))
    transport = open_transport(profile)
    client = AgentClient(transport)
    ending = threading.Event()

    def kill_all() -> None:
        while not ending.wait(0.2):
            for pid in board.agents():
                os.kill(pid, signal.SIGKILL)

    artifact = {"path": transport.put(path), "sha256": sha256}
    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(
            DeviceUnavailableError, match=r"in a row: the agent on .* ended|not reached again"
        ):
            client.measure(spin("x", artifact, 20.0), 60.0)
    finally:
        ending.set()
        killer.join()
        client.close()


def test_full_disk_is_named(board: NamespaceBoard) -> None:
    board.mount_small_disk("/home/board/.modnas-agent", kilobytes=400)
    board.shell("head -c 390000 /dev/zero > /home/board/.modnas-agent/x")
    with pytest.raises(DeviceUnavailableError, match=r"the disk of board@.* is full") as caught:
        open_transport(DeviceProfile.model_validate(board.endpoint().profile("board")))
    assert "free some space there" in str(caught.value)
    assert board.shell("ls /home/board/.modnas-agent") == "x\n", "no half file stays"


def test_two_hosts_and_a_host_that_died(board: NamespaceBoard, tmp_path: Path) -> None:
    path, sha256 = spin_artifact(tmp_path, 1.0)
    profile = DeviceProfile.model_validate(board.endpoint().profile("board"))
    transport = open_transport(profile)
    client = AgentClient(transport)
    artifact = {"path": transport.put(path), "sha256": sha256}
    archive = board.shell("cd /home/board; ls .modnas-agent/*.pyz").strip()
    other = OtherHost(board.endpoint(), archive, ".modnas-agent")
    other.send(op="measure", **spin("theirs", artifact, 5.0))
    while other.receive()["event"] != "progress":
        pass
    with pytest.raises(DeviceUnavailableError, match=r"busy: the board is in use by process \d+ .*theirs"):
        client.measure(spin("mine", artifact, 0.2, lock_wait_s=0.5), 20.0)
    other.vanish()
    began = time.monotonic()
    assert client.measure(spin("mine", artifact, 0.2, lock_wait_s=30), 60.0)["status"] == "ok"
    assert 0.5 < time.monotonic() - began < 25, "it waited for what the dead host had begun, and no longer"
    client.close()


def test_latency_is_the_boards_and_not_the_links(board: NamespaceBoard, tmp_path: Path) -> None:
    path, sha256 = spin_artifact(tmp_path, 2.0)
    fastest = []
    for delay_ms, loss in ((0.0, 0.0), (100.0, 5.0)):
        board.set_link(delay_ms, loss)
        transport = open_transport(DeviceProfile.model_validate(board.endpoint().profile("board")))
        client = AgentClient(transport)
        artifact = {"path": transport.put(path), "sha256": sha256}
        results = [client.measure(spin(f"{delay_ms}-{n}", artifact, 0.2), 60.0) for n in range(2)]
        # The quick runs of a few measurements: another process may have been in the way of the others.
        fastest.append(min(result["latency"]["p10_ms"] for result in results))
        client.close()
    assert fastest[1] == pytest.approx(fastest[0], rel=0.03)


def test_runtime_that_is_missing_comes_with_the_command(make_board: Callable[..., NamespaceBoard]) -> None:
    bare = make_board(with_runtime=False)
    profile = DeviceProfile.model_validate(bare.endpoint().profile("bare"))
    with pytest.raises(DeviceUnavailableError, match="agent install --device bare"), DeviceSession(profile):
        pass
