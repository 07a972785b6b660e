"""A real agent that its sensor, disk or zygote keeps waiting: it answers and can be asked something else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_process import PACKAGE_PARENT, AgentProcess, Frame, descendants, synthetic_request
from modnas_agent.board.journal import Journal

from harness.agent import client as agent_client
from harness.agent.archive import write_archive
from harness.agent.client import AgentClient
from harness.agent.reconnecting import ReconnectingTransport
from harness.transport.child import ChildTransport

Start = Callable[..., AgentProcess]
SPIN = {"kind": "spin", "latency_ms": 0.2}
#: Far less than a host waits for a sign of life, and enough for a machine that is busy.
SOON_S = 1.0
#: What the limit of opening a sensor is in an agent that is started with `impatient`.
SHORT_S = 1.5
VCGENCMD = """#!/bin/sh
[ -e {slow} ] && sleep 20
echo "     VDD_CORE_A current(7)=1.00000000A"
echo "     VDD_CORE_V volt(15)=0.80000000V"
"""


def agent_with(lines: str) -> list[str]:
    """The command of an agent in which `lines` were executed first."""
    return [sys.executable, "-c", f"{lines}\nfrom modnas_agent.cli import main\nraise SystemExit(main())"]


@pytest.fixture
def impatient(start_agent: Start) -> AgentProcess:
    """An agent that gives up a sensor after `SHORT_S`."""
    setting = f"from modnas_agent.serving import executor, server\nexecutor.SENSOR_LIMIT_S = {SHORT_S}"
    return start_agent(command=agent_with(f"{setting}\nserver.SENSOR_LIMIT_S = {SHORT_S}"))


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A meter's log that cannot be opened: nobody writes, as on a disk that is gone."""
    os.mkfifo(tmp_path / "meter.csv")
    return tmp_path / "meter.csv"


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a file must be for `vcgencmd` to take 20 s."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "vcgencmd"
    command.write_text(VCGENCMD.format(slow=tmp_path / "slow"))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "slow"


def metered(folder: Path, id_: str, fifo: Path, **energy: Any) -> Frame:
    wanted = {"sensor": "csv", "options": {"path": str(fifo)}, **energy}
    return {**synthetic_request(folder, id_, SPIN), "energy": wanted}


def until_pong(agent: AgentProcess, id_: str = "p") -> Frame:
    """The answer to a ping, which must come soon."""
    asked = time.monotonic()
    agent.send(op="ping", id=id_)
    while (frame := agent.wait_for("pong", timeout_s=30))["id"] != id_:
        continue
    assert time.monotonic() - asked < SOON_S
    return frame


def let_go(fifo: Path, agent: AgentProcess) -> None:
    """Have all who wait for the log find out that it is no file, until only the agent's loop is left."""
    deadline = time.monotonic() + 10
    while thread_count(agent) > 1 and time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # nobody waits just now
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        time.sleep(0.01)
    assert thread_count(agent) == 1


def thread_count(agent: AgentProcess) -> int:
    return len(list(Path(f"/proc/{agent.process.pid}/task").iterdir()))


@pytest.mark.slow
def test_pings_and_measurements_pass_a_sensor_that_is_opened(
    slow: Path, start_agent: Start, tmp_path: Path
) -> None:
    agent = start_agent(
        command=agent_with("from modnas_agent.energy.sensors import base\nbase.COMMAND_LIMIT_S = 4.0")
    )
    agent.send(op="sensor", id="quick", energy={"sensor": "pmic"})
    assert agent.wait_for("sensor") == {"event": "sensor", "id": "quick", "sensor": "pmic", "reason": None}
    slow.touch()
    agent.send(op="sensor", id="slow", energy={"sensor": "pmic"})
    until_pong(agent)
    asked = time.monotonic()
    agent.send(**synthetic_request(tmp_path, "m", SPIN))
    assert agent.wait_for("result", "sensor")["status"] == "ok"
    answer = agent.wait_for("sensor")
    assert answer["id"] == "slow" and "vcgencmd did not answer within 4 s" in answer["reason"]
    assert time.monotonic() - asked < 10, "what the command had started is ended with it"


@pytest.mark.slow
def test_a_greeting_does_not_wait_for_a_slow_sensor(slow: Path, start_agent: Start, tmp_path: Path) -> None:
    slow.touch()
    began = time.monotonic()
    agent = start_agent()
    assert time.monotonic() - began < 9
    assert "pmic" not in agent.greeting["inventory"]["power_sensors"]
    until_pong(agent)


def test_a_measurement_waits_for_its_sensor_and_says_so(
    agent: AgentProcess, fifo: Path, tmp_path: Path
) -> None:
    agent.send(**metered(tmp_path, "m", fifo))
    for _ in range(2):
        assert agent.wait_for("progress", "result", "error")["phase"] == "sensor"
        assert until_pong(agent)["busy_with"] == "m"
    let_go(fifo, agent)
    result = agent.wait_for("result", "error")
    assert result["status"] == "ok" and "must name the columns" in result["energy"]["reason"]


@pytest.mark.slow
def test_cancel_while_the_sensor_is_opened(agent: AgentProcess, fifo: Path, tmp_path: Path) -> None:
    agent.send(**metered(tmp_path, "m", fifo))
    assert agent.wait_for("progress", "result")["phase"] == "sensor"
    asked = time.monotonic()
    agent.send(op="cancel", id="c", target="m")
    assert agent.wait_for("result")["reason"] == "cancelled"
    assert time.monotonic() - asked < SOON_S
    agent.send(**metered(tmp_path, "n", fifo))
    assert agent.wait_for("progress", "result")["phase"] == "sensor"
    let_go(fifo, agent)  # both are answered now; the first one is nobody's
    assert agent.wait_for("result", "error")["id"] == "n"
    until_pong(agent)
    assert agent.measure(synthetic_request(tmp_path, "o", SPIN))["status"] == "ok"


@pytest.mark.slow
def test_a_sensor_that_never_answers_gives_no_energy(
    impatient: AgentProcess, fifo: Path, tmp_path: Path
) -> None:
    says = f"no power sensor: csv did not answer within {SHORT_S:g} s"
    result = impatient.measure(metered(tmp_path, "m", fifo))
    assert result["status"] == "ok" and result["energy"] == {"reason": says}
    impatient.send(op="sensor", id="s", energy={"sensor": "csv", "options": {"path": str(fifo)}})
    answer = impatient.wait_for("sensor")
    assert (answer["id"], answer["sensor"], answer["reason"]) == ("s", None, says)
    let_go(fifo, impatient)
    until_pong(impatient)
    asked = {"sensor": "csv", "options": {"path": str(tmp_path / "absent")}}
    impatient.send(op="sensor", id="t", energy=asked)
    assert impatient.receive()["id"] == "t", "nothing came of the late answers"


def test_threads_for_sensors_that_never_answer_are_few(
    impatient: AgentProcess, fifo: Path, tmp_path: Path
) -> None:
    for turn in range(3):
        for number in range(6):
            energy = {"sensor": "csv", "options": {"path": str(fifo)}}
            impatient.send(op="sensor", id=f"{turn}.{number}", energy=energy)
        answers = [impatient.wait_for("sensor") for _ in range(6)]
        assert all(answer["sensor"] is None for answer in answers)
    assert "earlier calls have not ended" in answers[-1]["reason"]
    assert thread_count(impatient) <= 1 + 4
    asked = time.monotonic()
    result = impatient.measure(metered(tmp_path, "m", fifo))
    assert result["status"] == "ok" and "have not ended" in result["energy"]["reason"]
    assert time.monotonic() - asked < 8
    let_go(fifo, impatient)
    impatient.send(
        op="sensor", id="s", energy={"sensor": "csv", "options": {"path": str(tmp_path / "absent")}}
    )
    assert "No such file" in impatient.wait_for("sensor")["reason"], "there is room for others again"


def test_a_host_that_goes_while_the_sensor_is_opened(
    impatient: AgentProcess, fifo: Path, tmp_path: Path
) -> None:
    impatient.send(**metered(tmp_path, "m", fifo))
    assert impatient.wait_for("progress", "result")["phase"] == "sensor"
    impatient.end_input()
    assert impatient.process.wait(15) == 0
    result = Journal(tmp_path / "root" / "journal").get("m")
    assert result is not None and result["status"] == "ok" and "did not answer" in result["energy"]["reason"]


@pytest.mark.slow
def test_a_disk_that_takes_its_time(start_agent: Start, tmp_path: Path) -> None:
    slow = "import os, time\nos.fsync = lambda fd: time.sleep(3)"
    agent = start_agent(command=agent_with(slow))
    agent.send(**synthetic_request(tmp_path, "m", SPIN))
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        until_pong(agent)
        time.sleep(0.1)
    agent.send(op="cancel", id="c", target="m")
    result = agent.wait_for("result")
    assert result["status"] == "ok", "it was measured when it was cancelled"
    assert Journal(tmp_path / "root" / "journal").get("m") == result


def test_a_disk_that_hangs_takes_no_result_away(start_agent: Start, tmp_path: Path) -> None:
    hangs = "import os, time\nfrom modnas_agent.serving import executor\nos.fsync = lambda fd: time.sleep(20)"
    agent = start_agent(command=agent_with(f"{hangs}\nexecutor.DISK_LIMIT_S = 1.0"))
    result = agent.measure(synthetic_request(tmp_path, "m", SPIN))
    assert result["status"] == "ok" and "not journaled: did not answer within 1 s" in result["warnings"]


def test_a_zygote_that_is_stopped(agent: AgentProcess, tmp_path: Path) -> None:
    assert agent.measure(synthetic_request(tmp_path, "m", SPIN))["status"] == "ok"
    zygote = descendants(agent.process.pid)[0]
    os.kill(zygote, signal.SIGSTOP)
    try:
        big = {
            **synthetic_request(tmp_path, "n", SPIN),
            "expected": [1.0] * 100_000,
        }  # a pipe is full
        agent.send(**big)
        for _ in range(3):
            until_pong(agent)
            time.sleep(0.1)
    finally:
        os.kill(zygote, signal.SIGCONT)
    assert agent.wait_for("result")["reason"] == "mismatch"


def test_what_a_worker_says_to_a_person_who_is_gone(tmp_path: Path) -> None:
    """Its result is journaled all the same, although nothing can be written to where people read."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT), "PYTHONFAULTHANDLER": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "modnas_agent", "serve", "--root", str(tmp_path / "root")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        request = synthetic_request(tmp_path, "m", {"kind": "segfault"})
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        while b'"progress"' not in process.stdout.readline():
            continue
        for pipe in (process.stderr, process.stdout, process.stdin):
            pipe.close()
        process.wait(20)
    result = Journal(tmp_path / "root" / "journal").get("m")
    assert result is not None and result["reason"] == "crashed"


class Link(ChildTransport):
    """An agent on this machine in the place of one over SSH."""

    @property
    def heard_at(self) -> float:
        return time.monotonic()


def test_a_sensor_request_is_repeated_when_its_agent_is_lost(
    fifo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_client, "SENSOR_S", 12.0)
    archive, links = write_archive(tmp_path), []

    def open_link(timeout_s: float) -> Any:
        links.append(Link(archive, tmp_path / "root"))
        return links[-1]

    client = AgentClient(ReconnectingTransport(open_link, 10.0))

    def break_it() -> None:
        fifo.unlink()
        fifo.write_text("time,power_w\n1,1\n2,1\n3,1\n")
        os.kill(links[0].pid, signal.SIGKILL)

    breaking = threading.Timer(0.5, break_it)
    breaking.start()
    try:
        assert (
            client.sensor({"sensor": "csv", "options": {"path": str(fifo)}}, {})["sensor"] == "csv:meter.csv"
        )
        assert len(links) == 2
    finally:
        breaking.join()
        client.close()
