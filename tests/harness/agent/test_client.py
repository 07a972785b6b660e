"""The host's side of the agent: its archive, its transport, the conversation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import modnas_agent
import pytest
from harness_helpers import OpenWith
from modnas_agent.wire.protocol import PROTOCOL_VERSION

from harness.agent import client as agent_client
from harness.agent.archive import archive_bytes, write_archive
from harness.agent.client import AgentClient, silence_limit_s, total_limit_s
from harness.core.errors import DeviceUnavailableError, ModnasHwError
from harness.devices.registry import get_profile
from harness.export import ArtifactCache
from harness.measure.session import DeviceSession
from harness.transport.base import Frame, TransportClosedError, TransportTimeoutError
from harness.transport.child import ChildTransport
from modnas.spaces import Space

HELLO: Frame = {
    "event": "hello",
    "id": "",
    "protocol": PROTOCOL_VERSION,
    "agent_version": "1",
    "inventory": {"machine": "m", "cpu": {"model": "c"}},
}


# The archive.


def test_archive_is_the_same_in_every_process(tmp_path: Path) -> None:
    code = "import sys; from harness.agent import archive as a; sys.stdout.buffer.write(a.archive_bytes())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "3"},
    )
    assert done.stdout == archive_bytes()
    first = write_archive(tmp_path / "new")
    assert first == write_archive(tmp_path / "new") and first.read_bytes() == archive_bytes()


def test_archive_holds_sources_and_nothing_else(tmp_path: Path) -> None:
    names = zipfile.ZipFile(write_archive(tmp_path)).namelist()
    package = Path(modnas_agent.__file__).parent
    expected = {str(path.relative_to(package.parent)) for path in package.rglob("*.py")}
    assert set(names) == expected | {"__main__.py"} and names == sorted(names)


def test_archive_runs_on_a_bare_interpreter(tmp_path: Path) -> None:
    archive = write_archive(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(archive), "hello"], capture_output=True, check=True, cwd="/"
    )
    frame = json.loads(done.stdout)
    assert done.stdout.count(b"\n") == 1 and done.stderr == b""
    assert (frame["event"], frame["protocol"]) == ("hello", PROTOCOL_VERSION)
    assert frame["agent_version"] == modnas_agent.__version__


# The conversation, with a scripted agent.


class Script:
    """A transport that plays frames back. `answers`: op -> frames, whose id is filled in."""

    def __init__(self, greeting: Iterable[Frame] = (HELLO,), **answers: list[Frame | Exception]) -> None:
        self.waiting: deque[Frame | Exception] = deque(greeting)
        self.answers = answers
        self.sent: list[Frame] = []
        self.closed = False

    def send(self, frame: Mapping[str, Any]) -> None:
        self.sent.append(dict(frame))
        for answer in self.answers.get(frame["op"], []):
            known = isinstance(answer, Exception)
            self.waiting.append(answer if known else {"id": frame["id"], **answer})

    def receive(self, timeout_s: float) -> Frame:
        if not self.waiting:
            time.sleep(min(timeout_s, 0.02))
            raise TransportTimeoutError("silence")
        frame = self.waiting.popleft()
        if isinstance(frame, Exception):
            raise frame
        return frame

    def put(self, path: Path) -> str:
        return str(path)

    def close(self) -> None:
        self.closed = True


def test_greeting_is_taken_in() -> None:
    client = AgentClient(Script([{"event": "log", "id": "other"}, HELLO]))
    assert client.agent_version == "1" and client.inventory == HELLO["inventory"]


@pytest.mark.parametrize("protocol", [PROTOCOL_VERSION + 1, 0, None, "1"])
def test_other_protocol_version_is_refused(protocol: object) -> None:
    with pytest.raises(DeviceUnavailableError, match=f"protocol {protocol}"):
        AgentClient(Script([{**HELLO, "protocol": protocol}]))


def test_silence_in_place_of_a_greeting() -> None:
    with pytest.raises(TransportTimeoutError):
        AgentClient(Script([]), timeout_s=0.05)


def test_silent_agent_ends_the_wait() -> None:
    client = AgentClient(Script())
    for ask in (lambda: client.ping(0.05), lambda: client.probe("x", 0.05)):
        with pytest.raises(TransportTimeoutError):
            ask()


def test_chatter_of_other_requests_does_not_extend_the_wait() -> None:
    class Chatty(Script):
        def receive(self, timeout_s: float) -> Frame:
            time.sleep(0.005)
            return super().receive(timeout_s) if self.waiting else {"event": "pong", "id": "someone else"}

    client, began = AgentClient(Chatty()), time.monotonic()
    with pytest.raises(TransportTimeoutError):
        client.ping(0.1)
    assert time.monotonic() - began < 2


class Endless(Script):
    """Plays one frame again and again once it was asked something."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame

    def receive(self, timeout_s: float) -> Frame:
        if self.waiting or not self.sent:
            return super().receive(timeout_s)
        time.sleep(0.002)
        return {"id": self.sent[-1]["id"], **self.frame}


@pytest.mark.parametrize("event", ["progress", "pending"])
def test_what_never_ends_is_ended(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_client, "MARGIN_S", 0.1)
    client, began = AgentClient(Endless({"event": event, "n": 1})), time.monotonic()
    with pytest.raises(TransportTimeoutError, match="has not answered after"):
        client.measure({}, 0.1)
    allowed_s = total_limit_s(0.1) if event == "progress" else silence_limit_s(0.1)
    assert allowed_s <= time.monotonic() - began < allowed_s + 2.0
    with pytest.raises(TransportTimeoutError):
        client.probe("x", 0.1)


def test_limits_follow_from_the_measurement() -> None:
    assert silence_limit_s(62.0) == 92.0 and total_limit_s(62.0) == 184.0


def test_measure_reports_progress_and_gives_the_result() -> None:
    script = Script(
        measure=[
            {"event": "progress", "n": 1},
            {"event": "result", "status": "ok", "id": "an older request"},
            {"event": "progress", "n": 2},
            {"event": "result", "status": "error", "reason": "nan"},
        ]
    )
    seen: list[Frame] = []
    result = AgentClient(script).measure({"artifact": {}}, 1.0, seen.append)
    assert [frame["n"] for frame in seen] == [1, 2]
    assert (result["status"], result["reason"]) == ("error", "nan"), "a failed network is a result"
    assert script.sent[-1]["op"] == "measure" and script.sent[-1]["artifact"] == {}


def test_request_ids_differ() -> None:
    script = Script(ping=[{"event": "pong"}])
    client = AgentClient(script)
    for _ in range(5):
        client.ping()
    assert len({frame["id"] for frame in script.sent}) == 5


def test_refusal_names_the_agents_reason() -> None:
    client = AgentClient(Script(measure=[{"event": "error", "reason": "busy", "message": "in use by 7"}]))
    with pytest.raises(DeviceUnavailableError, match="busy: in use by 7") as caught:
        client.measure({}, 1.0)
    assert caught.value.exit_code == 3


def test_agent_that_goes_away_while_measuring() -> None:
    gone = TransportClosedError("the local agent ended (exit status -9)")
    with pytest.raises(DeviceUnavailableError, match="exit status -9"):
        AgentClient(Script(measure=[{"event": "progress"}, gone])).measure({}, 1.0)


# The session, which looks for the backend and takes the fingerprint.

PROBED: Frame = {"event": "probe", "version": "1.2", "providers": ["CPUExecutionProvider"]}


@pytest.fixture
def scripted(open_with: OpenWith) -> Callable[[Script], Script]:
    def use(script: Script) -> Script:
        open_with(lambda _profile: script)
        return script

    return use


def test_session_that_cannot_start_closes_its_transport(scripted: Callable[[Script], Script]) -> None:
    for script in (
        Script([]),
        Script([{**HELLO, "protocol": 99}]),
        Script(probe=[{"event": "error", "reason": "runtime", "message": "not installed"}]),
        Script(probe=[{**PROBED, "providers": ["OtherProvider"]}]),
    ):
        scripted(script)
        with pytest.raises(DeviceUnavailableError, match="device cpu: "), DeviceSession(get_profile("cpu")):
            pass
        assert script.closed


def test_missing_provider_says_which_there_are(scripted: Callable[[Script], Script]) -> None:
    scripted(Script(probe=[PROBED]))
    with (
        pytest.raises(DeviceUnavailableError, match=r"no CUDAExecutionProvider.*CPUExecutionProvider"),
        DeviceSession(get_profile("gpu")),
    ):
        pass


def fingerprint(use: Callable[[Script], Script], inventory: dict[str, Any], version: str = "1.2") -> str:
    use(Script([{**HELLO, "inventory": inventory}], probe=[{**PROBED, "version": version}]))
    with DeviceSession(get_profile("cpu")) as session:
        return session.fingerprint


def test_fingerprint_identifies_machine_and_runtime(scripted: Callable[[Script], Script]) -> None:
    machine = {"machine": "x", "board": None, "cpu": {"model": "c"}, "os": {"distribution": "d 1"}}
    base_print = fingerprint(scripted, machine)
    assert fingerprint(scripted, {**machine, "temperature_c": 70, "memory_mb": 5}) == base_print
    others = [
        fingerprint(scripted, {**machine, "machine": "y"}),
        fingerprint(scripted, {**machine, "cpu": {"model": "d"}}),
        fingerprint(scripted, {**machine, "os": {"distribution": "d 2"}}),
        fingerprint(scripted, machine, version="1.3"),
    ]
    assert len({base_print, *others}) == 5


# The child transport, with real processes.

FAKE_AGENT = """
import json, os, sys, time
hello = {hello!r}
def say(frame):
    sys.stdout.write(json.dumps(frame) + "\\n"); sys.stdout.flush()
{body}
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ChildTransport]]:
    """Starts a child transport on a program in place of the agent."""
    monkeypatch.setattr("harness.transport.child.GRACE_S", 0.5)
    started: list[ChildTransport] = []

    def start(body: str) -> ChildTransport:
        program = tmp_path / "agent.py"
        program.write_text(FAKE_AGENT.format(hello=HELLO, body=body))
        started.append(ChildTransport(program, tmp_path / "root"))
        return started[-1]

    yield start
    for transport in started:
        transport.close()


def test_child_frames_arrive_in_order_however_they_are_cut(
    child: Callable[[str], ChildTransport],
) -> None:
    transport = child(
        'sys.stdout.write(\'{"event": "a", \'); sys.stdout.flush(); time.sleep(0.1)\n'
        "sys.stdout.write('\"n\": 1}\\n{\"event\": \"b\"}\\n\\n'); say({'event': 'c'})\n"
        "for line in sys.stdin: say({'event': 'echo', 'got': json.loads(line)})"
    )
    assert [transport.receive(5)["event"] for _ in range(3)] == ["a", "b", "c"]
    transport.send({"op": "x", "text": "ü"})
    assert transport.receive(5) == {"event": "echo", "got": {"op": "x", "text": "ü"}}


@pytest.mark.parametrize("line", ["garbage", "[1]", "NaN", '{\\"a\\": Infinity}', "\\udcff"])
def test_child_that_sends_no_frame(child: Callable[[str], ChildTransport], line: str) -> None:
    transport = child(
        f"sys.stdout.reconfigure(errors='surrogateescape'); print(\"{line}\", flush=True); time.sleep(5)"
    )
    with pytest.raises(TransportClosedError, match="no frame"):
        transport.receive(5)


def test_child_that_sends_an_endless_line(child: Callable[[str], ChildTransport]) -> None:
    transport = child("while True: sys.stdout.write('x' * 65536)")
    with pytest.raises(TransportClosedError, match="no frame"):
        transport.receive(10)


def test_child_silence_is_a_timeout(child: Callable[[str], ChildTransport]) -> None:
    transport, began = child("time.sleep(60)"), time.monotonic()
    with pytest.raises(TransportTimeoutError):
        transport.receive(0.2)
    assert 0.15 < time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("say(hello); sys.stdin.readline(); sys.exit('no sensor')", "exit status 1\\): no sensor"),
        ("say(hello); sys.stdin.readline(); os._exit(7)", r"exit status 7\)"),
        ("say(hello); sys.stdin.readline(); os.kill(os.getpid(), 9)", r"exit status -9\)"),
    ],
)
def test_child_that_dies_while_measuring(
    child: Callable[[str], ChildTransport], body: str, status: str
) -> None:
    client = AgentClient(child(body))
    with pytest.raises(DeviceUnavailableError, match=status):
        client.measure({}, 5.0)
    with pytest.raises(DeviceUnavailableError, match=status):  # and again, when writing to it fails
        for _ in range(50):
            client.ping(1.0)


def test_child_that_reads_nothing(
    child: Callable[[str], ChildTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.transport.child.SEND_S", 0.5)
    transport, began = child("say(hello); time.sleep(60)"), time.monotonic()
    with pytest.raises(TransportClosedError, match="left a request unread"):
        transport.send({"op": "measure", "expected": [0.123456789] * 50_000})
    assert time.monotonic() - began < 5


def test_child_with_a_long_last_word(child: Callable[[str], ChildTransport]) -> None:
    transport = child("sys.stderr.write('w' * 10**6 + '\\x1b[31m no sensor\\x07'); sys.exit(1)")
    with pytest.raises(TransportClosedError, match=r"exit status 1.*: www") as caught:
        transport.receive(5)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1200


def test_child_is_ended_with_its_input(child: Callable[[str], ChildTransport], tmp_path: Path) -> None:
    transport = child("say(hello); sys.stdin.read(); open(sys.argv[3] + '/ended', 'w').close()")
    transport.receive(5)
    transport.close()
    assert (tmp_path / "root" / "ended").exists()
    assert not Path(f"/proc/{transport.pid}").exists()
    transport.close()  # a second time is no error


def test_child_that_ignores_its_end_is_killed(child: Callable[[str], ChildTransport]) -> None:
    transport = child("say(hello)\nwhile True: time.sleep(1)")
    transport.receive(5)
    transport.close()
    assert not Path(f"/proc/{transport.pid}").exists()


def test_request_beyond_the_frame_limit_is_not_blamed_on_the_agent(
    child: Callable[[str], ChildTransport],
) -> None:
    transport = child("say(hello); sys.stdin.read()")
    with pytest.raises(ModnasHwError, match="limit") as caught:
        transport.send({"op": "measure", "expected": [0.123456789] * 200_000})
    assert not isinstance(caught.value, DeviceUnavailableError)


# The real agent.


def test_real_agent_killed_while_measuring(space: Space, home_folder: Path) -> None:
    profile = get_profile("cpu")
    slow = profile.policy.model_copy(update={"warmup_s": 20.0})
    profile = profile.model_copy(update={"policy": slow})
    artifact = ArtifactCache().get(space, space.references[0], 1)
    with DeviceSession(profile) as session:
        transport = session._transport
        assert isinstance(transport, ChildTransport)

        def kill(_frame: Frame) -> None:
            os.kill(transport.pid, signal.SIGKILL)

        with pytest.raises(DeviceUnavailableError, match=r"exit status -9"):
            session.measure(artifact, kill)


def test_real_agent_checks_the_content_of_artifacts(space: Space) -> None:
    artifact = ArtifactCache().get(space, space.references[0], 1)
    artifact.path.write_bytes(artifact.path.read_bytes()[:-10])
    with DeviceSession(get_profile("cpu")) as session:
        result = session.measure(artifact)
        assert (result["status"], result["reason"]) == ("error", "artifact")
        again = ArtifactCache().get(space, space.references[0], 1)
        assert session.measure(again)["status"] == "ok"


def test_fingerprint_of_this_machine_is_stable() -> None:
    prints = []
    for _ in range(2):
        with DeviceSession(get_profile("cpu")) as session:
            prints.append(session.fingerprint)
    assert prints[0] == prints[1]
