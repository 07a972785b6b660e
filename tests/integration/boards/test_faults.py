"""What boards do: vanish, freeze, reboot, fill up. Nothing is lost, nothing is measured twice."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from boards_host import OtherHost, spin, spin_artifact
from boards_namespace import NamespaceBoard
from modnas_agent.board.lock import utc_now

from harness.agent.client import AgentClient
from harness.boards.board import Board
from harness.boards.install import install
from harness.cli import main
from harness.core.errors import DeviceUnavailableError
from harness.core.home import subfolder
from harness.devices.profile import DeviceProfile
from harness.measure.profiling import profile_device
from harness.measure.reports import ProfileReport
from harness.measure.session import DeviceSession, open_transport
from harness.store import Measurement, Store
from modnas.spaces import get_space

SPACE = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
CELLS = list(SPACE.references[:3])
#: A measurement that lasts `max_time_s`, whatever the numbers.
LONG = {"precision": 1e-5, "max_time_s": 2.0}
#: Delay in ms each way, packets lost in percent.
GOOD_LINK, BAD_LINK = (0.0, 0.0), (200.0, 5.0)


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
            self._profile()
        except Exception as error:
            self.error = error
        self.ended_at = time.monotonic()

    def _profile(self) -> None:
        self.report = profile_device(*self._arguments, on_row=lambda row, _: self.rows.append(row))

    def measured(self) -> int:
        return len(self.rows)

    def wait_until_measuring(self, rows: int = 1) -> None:
        """Until so many rows are there and the next measurement is under way."""
        while self.measured() < rows and self._thread.is_alive():
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


class CommandLine(Profiling):
    """The same by the command, with its exit code."""

    code: int | None = None

    def _profile(self) -> None:
        profile, _, cells, _ = self._arguments
        folder = subfolder("devices")
        (folder / f"{profile.name}.yaml").write_text(yaml.safe_dump(profile.model_dump(mode="json")))
        (folder / "cells.txt").write_text("\n".join(cell.string for cell in cells))
        command = ["profile", "--device", profile.name, "--archs", str(folder / "cells.txt")]
        self.code = main([*command, "--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"])

    def measured(self) -> int:
        return len(journal(self.board))


def journal(board: NamespaceBoard) -> list[dict[str, Any]]:
    """The results that the agent keeps."""
    text = board.shell("cat /home/board/.modnas-agent/journal/*.json 2>/dev/null || true")
    return [json.loads(line) for line in text.splitlines()]


def rows_in(store: Store, device: str) -> list[Measurement]:
    return store.device_measurements(device, SPACE.name, SPACE.variant)


@pytest.mark.slow
@pytest.mark.exclusive  # it waits for its boards one after the other
def test_cut_links_and_a_frozen_board(
    make_board: Callable[[], NamespaceBoard],
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    """Three boards at once, since most of it is waiting: cut for 20 s, cut for good, frozen."""
    back, gone, frozen = make_board(), make_board(), make_board()
    with Store() as store:
        kinds = ((Profiling, back, "back"), (CommandLine, gone, "gone"), (Profiling, frozen, "frozen"))
        runs = [kind(board, store, name) for kind, board, name in kinds]
        for run in runs:
            run.wait_until_measuring()
        hit_at, cut_at = time.monotonic(), utc_now()
        back.cut()
        gone.cut()
        frozen.freeze()
        time.sleep(20.0)
        back_at = utc_now()
        back.set_link()
        for run in runs:
            run.join()
        assert runs[0].report is not None, runs[0].error
        rows = rows_in(store, "back")
        assert [row.status for row in rows] == ["ok"] * 3, "no candidate is lost"
        assert len(rows_in(store, "gone")) == len(rows_in(store, "frozen")) == 1, "what was measured is kept"
        assert store.counts()["measurements"] == 5
    kept = {(entry["started_at"], entry["ended_at"]) for entry in journal(back)}
    assert kept == {(row.record["started_at"], row.record["ended_at"]) for row in rows}
    (hit,) = [row for row in rows if row.record["started_at"] < cut_at < row.record["ended_at"]]
    assert hit.record["ended_at"] < back_at, "it was fetched from the journal, not measured a second time"
    assert isinstance(runs[1], CommandLine) and runs[1].code == 3
    read = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"was lost|silent for|took more", read) and "not reached again within 26 s" in read
    assert read.endswith("1 measured before are kept, the same command goes on from there")
    assert isinstance(runs[2].error, DeviceUnavailableError) and runs[2].error.exit_code == 3
    assert re.search(r"silent for .*frozen.*not reached again within 26 s", str(runs[2].error))
    reported_s = [run.ended_at - hit_at for run in runs[1:]]
    record_property("reported_s", reported_s)
    assert max(reported_s) < 30.0, "reported in time"


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
    assert len(journal(board)) == 3


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
    board.mount_disk("/home/board/small", kilobytes=400)
    board.shell("head -c 390000 /dev/zero > /home/board/small/x")
    profile = board.endpoint().profile("board", directory="small/agent")
    with pytest.raises(DeviceUnavailableError, match=r"the disk of board@.* is full") as caught:
        open_transport(DeviceProfile.model_validate(profile))
    assert "free some space there" in str(caught.value)
    assert board.shell("cd /home/board/small; find . -type f") == "./x\n", "no half file stays"
    board.shell("rmdir /home/board/small/agent")
    with (
        Board(DeviceProfile.model_validate(profile)) as opened,
        pytest.raises(DeviceUnavailableError, match="is full"),
    ):
        install(opened, offline=False, say=print)
    assert board.shell("ls -A /home/board/small") == "x\n", "nor does the folder"


@pytest.mark.slow
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
    with pytest.raises(
        DeviceUnavailableError, match=r"busy: the board is in use by eve@laptop since .*theirs"
    ):
        client.measure(spin("mine", artifact, 0.2, lock_wait_s=0.5), 20.0)
    other.vanish()
    began = time.monotonic()
    assert client.measure(spin("mine", artifact, 0.2, lock_wait_s=30), 60.0)["status"] == "ok"
    assert 0.5 < time.monotonic() - began < 25, "it waited for what the dead host had begun, and no longer"
    client.close()


@pytest.mark.slow
def test_latency_is_the_boards_and_not_the_links(
    board: NamespaceBoard, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Good and bad link in turn, with calls of known length.

    Those of 300 ms are so long that losing the CPU to another process hardly counts: their medians are
    compared. Of the short ones, where a little of the link's would show, only the quick ones can be on a busy
    machine.
    """
    board.set_link(*BAD_LINK)
    transport = open_transport(DeviceProfile.model_validate(board.endpoint().profile("board")))
    client = AgentClient(transport)
    found: dict[tuple[str, tuple[float, float]], list[float]] = {}
    for latency_ms, max_time_s, which in ((300.0, 1.5, "median_ms"), (2.0, 0.2, "p10_ms")):
        path, sha256 = spin_artifact(tmp_path, latency_ms)
        artifact = {"path": transport.put(path), "sha256": sha256}
        for number in range(2):
            for link in (BAD_LINK, GOOD_LINK):
                board.set_link(*link)
                request = spin(f"{which}-{number}-{link}", artifact, max_time_s)
                request["protocol"]["min_samples"] = 5
                result = client.measure(request, 60.0)
                found.setdefault((which, link), []).append(result["latency"][which])
    client.close()
    record_property("latencies", found)
    for which in ("median_ms", "p10_ms"):
        assert min(found[which, BAD_LINK]) == pytest.approx(min(found[which, GOOD_LINK]), rel=0.03), found


def test_runtime_that_is_missing_comes_with_the_command(make_board: Callable[..., NamespaceBoard]) -> None:
    bare = make_board(with_runtime=False)
    profile = DeviceProfile.model_validate(bare.endpoint().profile("bare"))
    with pytest.raises(DeviceUnavailableError, match="agent install --device bare"), DeviceSession(profile):
        pass
