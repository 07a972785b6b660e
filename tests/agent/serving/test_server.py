"""A real agent process: requests, failures, cancelling, lost hosts, and two agents on one board."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from agent_process import (
    PACKAGE_PARENT,
    AgentProcess,
    Frame,
    descendants,
    synthetic_request,
    write_artifact,
)
from modnas_agent.board import conditions
from modnas_agent.board.journal import Journal

Start = Callable[..., AgentProcess]
SPIN = {"kind": "spin", "latency_ms": 0.2}
#: Measures for as long as its max_time_s says.
RESTLESS = {"kind": "spin", "latency_ms": 0.5, "jitter": 0.3}


def long_request(folder: Path, id_: str, max_time_s: float) -> Frame:
    return synthetic_request(
        folder, id_, RESTLESS, precision=1e-6, min_time_s=max_time_s, max_time_s=max_time_s, warmup_s=0.05
    )


def wait_until_measuring(agent: AgentProcess) -> None:
    assert agent.wait_for("progress", "result", "error")["event"] == "progress"


def test_the_agent_greets_first_and_as_its_command_does(agent: AgentProcess) -> None:
    assert agent.greeting["event"] == "hello" and agent.greeting["id"] == ""
    command = [sys.executable, "-m", "modnas_agent", "hello"]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    again = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert again["protocol"] == 1 and again["agent_version"] == agent.greeting["agent_version"]


def test_a_measurement_gives_every_figure(agent: AgentProcess, tmp_path: Path) -> None:
    result = agent.measure(synthetic_request(tmp_path, "m", SPIN))
    assert result["event"] == "result" and result["status"] == "ok" and result["id"] == "m"
    latency = result["latency"]
    assert latency["p10_ms"] <= latency["median_ms"] <= latency["p90_ms"] <= latency["p99_ms"]
    assert latency["median_ms"] == pytest.approx(0.2, rel=0.1)
    assert len(latency["samples_ms"]) == latency["n"]
    assert 0 < result["measure_s"] < result["wall_s"]
    assert result["memory_mb"] > result["memory_delta_mb"] >= 0
    assert 0 < result["load_time_ms"] < 1e3 * result["wall_s"]
    assert result["max_abs_diff"] is None
    assert result["runtime"] == {"name": "synthetic", "version": "1"}
    assert result["applied"]["cpus"] == [max(os.sched_getaffinity(0))]
    assert result["started_at"] < result["ended_at"]
    assert set(result["before"]) <= set(result["after"])


@pytest.mark.parametrize(
    ("kind", "reason", "says"),
    [
        ("segfault", "crashed", "SIGSEGV"),
        ("hang", "timeout", "0.6 s"),
        ("allocate", "memory", "memory"),
        ("nan", "nan", "not finite"),
        ("exit", "worker", "code 3"),
    ],
)
def test_a_failure_has_its_reason_and_the_next_measurement_goes_on(
    shared_agent: AgentProcess, tmp_path: Path, kind: str, reason: str, says: str
) -> None:
    timeout_s = 0.6 if kind == "hang" else 20.0  # the others need more on a busy machine
    failed = shared_agent.measure(
        synthetic_request(tmp_path, kind, {"kind": kind}, timeout_s=timeout_s, memory_limit_mb=64)
    )
    assert (failed["event"], failed["status"], failed["reason"]) == ("result", "error", reason)
    assert says in failed["message"] and "\n" not in failed["message"]
    assert failed["before"] and failed["after"]
    assert "latency" not in failed
    assert shared_agent.measure(synthetic_request(tmp_path, f"after {kind}", SPIN))["status"] == "ok"


@pytest.mark.exclusive
def test_short_calls_are_timed_in_blocks_and_many_samples_summarised(
    agent: AgentProcess, tmp_path: Path
) -> None:
    result = agent.measure(
        synthetic_request(
            tmp_path, "m", {"kind": "spin", "latency_ms": 0.005}, min_time_s=0.2, max_time_s=0.3
        )
    )
    latency = result["latency"]
    assert 5 <= latency["block"] <= 12
    assert latency["n"] > 1000 and "samples_ms" not in latency
    assert latency["quantiles_ms"] == sorted(latency["quantiles_ms"]) and len(latency["quantiles_ms"]) == 101


@pytest.mark.exclusive
def test_the_instrument_is_right_within_one_percent(agent: AgentProcess, tmp_path: Path) -> None:
    model = {"kind": "spin", "latency_ms": 0.5, "jitter": 0.02, "tail": {"probability": 0.02, "factor": 10}}
    errors = []
    for attempt in range(3):  # other processes share the machine
        result = agent.measure(
            synthetic_request(tmp_path, f"{attempt}", model, precision=0.005, max_time_s=1.0)
        )
        errors.append(abs(result["latency"]["median_ms"] / 0.5 - 1))
        if errors[-1] < 0.01:
            break
    assert min(errors) < 0.01, errors


@pytest.mark.exclusive
def test_ping_is_answered_while_measuring(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "long", 1.0))
    wait_until_measuring(agent)
    asked = time.monotonic()
    agent.send(op="ping", id="p")
    pong = agent.wait_for("pong", "result")
    assert pong == {"event": "pong", "id": "p", "busy_with": "long"}
    assert time.monotonic() - asked < 0.5
    assert agent.wait_for("result")["status"] == "ok"
    agent.send(op="ping", id="q")
    assert agent.receive() == {"event": "pong", "id": "q", "busy_with": None}


@pytest.mark.exclusive
def test_progress_comes_at_most_twice_a_second(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "long", 1.2))
    seen = []
    while (frame := agent.wait_for("progress", "result"))["event"] == "progress":
        seen.append(frame)
    assert 2 <= len(seen) <= 4
    assert seen[0]["phase"] == "load" and seen[-1]["phase"] == "measure"
    assert seen[-1]["n"] > 0


def test_cancel_ends_the_running_measurement_and_the_waiting_one(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "running", 20))
    agent.send(**long_request(tmp_path, "waiting", 20))
    wait_until_measuring(agent)
    agent.send(op="cancel", id="c1", target="waiting")
    assert agent.wait_for("cancelled") == {"event": "cancelled", "id": "c1", "target": "waiting"}
    assert agent.wait_for("error")["reason"] == "cancelled"
    agent.send(op="cancel", id="c2", target="running")
    assert agent.wait_for("cancelled")["target"] == "running"
    result = agent.wait_for("result", timeout_s=5)
    assert (result["id"], result["status"], result["reason"]) == ("running", "error", "cancelled")
    agent.send(op="cancel", id="c3", target="running")
    assert agent.receive()["reason"] == "unknown_request"
    assert agent.measure(synthetic_request(tmp_path, "next", SPIN))["status"] == "ok"


def test_a_result_is_journaled_and_not_measured_again(agent: AgentProcess, tmp_path: Path) -> None:
    request = synthetic_request(tmp_path, "m", SPIN)
    result = agent.measure(request)
    assert agent.measure(request) == result
    assert journaled(tmp_path, "m") == result
    assert journaled(tmp_path, "other") is None


@pytest.mark.slow
@pytest.mark.exclusive
@pytest.mark.parametrize("link", ["input ends", "both ends close"])
def test_a_measurement_outlives_its_host(start_agent: Start, tmp_path: Path, link: str) -> None:
    first = start_agent()
    request = long_request(tmp_path, "m", 1.5)
    first.send(**request)
    wait_until_measuring(first)
    if link == "both ends close":
        first.process.send_signal(signal.SIGHUP)
    first.end_input()
    second = start_agent()
    assert journaled(tmp_path, "m") is None, "the first one is still at it"
    asked = time.monotonic()
    result = second.measure(request)  # waits for the lock, then finds the journal's answer
    assert result["status"] == "ok" and time.monotonic() - asked < 3
    assert first.process.wait(10) == 0
    assert journaled(tmp_path, "m") == result


def test_two_agents_share_a_board_one_at_a_time(start_agent: Start, tmp_path: Path) -> None:
    first, second = start_agent(), start_agent()
    first.send(**long_request(tmp_path, "first", 20))
    wait_until_measuring(first)
    refused = second.measure({**synthetic_request(tmp_path, "second", SPIN), "lock_wait_s": 0.2})
    assert (refused["event"], refused["reason"]) == ("error", "busy")
    assert str(first.process.pid) in refused["message"] and "first" in refused["message"]
    second.send(**{**synthetic_request(tmp_path, "second", SPIN), "lock_wait_s": 20})
    first.process.kill()  # a dead holder's lock is free, and its worker dies with it
    assert second.wait_for("result", "error")["status"] == "ok"


@pytest.mark.slow
def test_two_hosts_take_turns_to_the_end(start_agent: Start, tmp_path: Path) -> None:
    """Each asks for the next measurement as soon as it has the last one, as a profile does."""
    agents = {"ada": start_agent(), "eve": start_agent()}

    def profile(host: str) -> list[Frame]:
        requests = [long_request(tmp_path, f"{host}-{index}", 0.4) for index in range(4)]
        return [agents[host].measure({**request, "lock_wait_s": 20}) for request in requests]

    with ThreadPoolExecutor(2) as pool:
        results = [frame for frames in pool.map(profile, agents) for frame in frames]
    assert [frame.get("status") for frame in results] == ["ok"] * 8, "none was sent away"
    order = [frame["id"][:3] for frame in sorted(results, key=lambda frame: str(frame["started_at"]))]
    together = order[order.index("ada" if order[0] == "eve" else "eve") - 1 : -1]
    assert all(host != following for host, following in pairwise(together)), order
    spans = sorted((str(frame["started_at"]), str(frame["ended_at"])) for frame in results)
    assert all(ended <= begun for (_, ended), (begun, _) in pairwise(spans))


def test_no_worker_survives_a_killed_agent(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "m", 20))
    wait_until_measuring(agent)
    family = descendants(agent.process.pid)
    assert len(family) == 2
    agent.process.kill()
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in family if is_running(pid)]


def test_a_killed_zygote_costs_one_measurement(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "m", 20))
    wait_until_measuring(agent)
    zygote = descendants(agent.process.pid)[0]
    os.kill(zygote, signal.SIGKILL)
    answer = agent.wait_for("result", "error")
    assert (answer["event"], answer["reason"]) == ("error", "environment"), "no network can do that"
    assert agent.measure(synthetic_request(tmp_path, "next", SPIN))["status"] == "ok"


@pytest.mark.slow
@pytest.mark.skipif(conditions.memory_kills() is None, reason="the kernel does not count its kills")
def test_a_killed_worker_is_measured_again_once(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "m", 1.5))
    wait_until_measuring(agent)
    os.kill(descendants(agent.process.pid)[1], signal.SIGKILL)
    assert agent.wait_for("result", "error")["status"] == "ok"
    agent.send(**long_request(tmp_path, "n", 20))
    for _ in range(2):
        while agent.wait_for("progress", "result", "error")["phase"] != "measure":
            continue
        os.kill(descendants(agent.process.pid)[1], signal.SIGKILL)
        time.sleep(0.2)
    result = agent.wait_for("result", "error")
    assert (result["event"], result["reason"]) == ("result", "memory") and "twice" in result["message"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGXCPU"])
def test_a_worker_that_somebody_ends_is_no_result(
    shared_agent: AgentProcess, tmp_path: Path, name: str
) -> None:
    shared_agent.send(**long_request(tmp_path, f"ended by {name}", 20))
    wait_until_measuring(shared_agent)
    os.kill(descendants(shared_agent.process.pid)[1], signal.Signals[name])
    answer = shared_agent.wait_for("result", "error")
    assert (answer["event"], answer["reason"]) == ("error", "environment") and name in answer["message"]
    again = shared_agent.measure(synthetic_request(tmp_path, f"ended by {name}", SPIN))
    assert again["status"] == "ok", "nothing is journaled"


def test_the_agent_sleeps_while_it_measures(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "m", 1.5))
    wait_until_measuring(agent)
    before = cpu_ticks(agent.process.pid)
    assert agent.wait_for("result")["status"] == "ok"
    assert cpu_ticks(agent.process.pid) - before <= 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"garbage", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"op":"fly","id":"x"}', "op:"),
        (b'{"op":["measure"],"id":"x"}', "op:"),
        (b'{"op":"ping"}', "id:"),
        (b'{"op":"measure","id":"x"}', "artifact:"),
        (b'{"op":"probe","id":"x"}', "backend:"),
        (b"x" * (1 << 20), "bytes"),
    ],
)
def test_a_bad_request_is_answered_and_the_session_goes_on(
    shared_agent: AgentProcess, line: bytes, says: str
) -> None:
    shared_agent.send_line(line)
    answer = shared_agent.receive()
    assert (answer["event"], answer["reason"]) == ("error", "bad_request")
    assert says in answer["message"]
    shared_agent.send(op="ping", id="p")
    assert shared_agent.receive()["event"] == "pong"


def test_an_artifact_is_checked_before_it_is_loaded(agent: AgentProcess, tmp_path: Path) -> None:
    request = synthetic_request(tmp_path, "m", SPIN)
    path = Path(request["artifact"]["path"])
    path.write_text(json.dumps({"kind": "segfault"}))
    answer = agent.measure(request)
    assert (answer["event"], answer["reason"]) == ("result", "artifact") and "damaged" in answer["message"]
    assert path.exists(), "whoever brought it replaces it"
    absent = {**request, "id": "n", "artifact": {"path": "absent", "sha256": "0" * 64}}
    answer = agent.measure(absent)
    assert (answer["event"], answer["reason"]) == ("result", "artifact")
    assert "No such file" in answer["message"]


def test_a_relative_artifact_is_found_under_the_root(agent: AgentProcess, tmp_path: Path) -> None:
    request = synthetic_request(tmp_path, "m", SPIN)
    write_artifact(tmp_path / "root", json.dumps(SPIN).encode(), "model")
    request["artifact"]["path"] = "model"
    assert agent.measure(request)["status"] == "ok"


def test_an_unusable_root_is_a_storage_error(start_agent: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    agent = start_agent(tmp_path / "file")
    answer = agent.measure(synthetic_request(tmp_path, "m", SPIN))
    assert (answer["event"], answer["reason"]) == ("error", "storage")
    assert "\n" not in answer["message"]


def test_a_result_that_cannot_be_journaled_is_still_delivered(start_agent: Start, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "journal").write_text("in the way")
    result = start_agent().measure(synthetic_request(tmp_path, "m", SPIN))
    assert result["status"] == "ok"
    assert any(warning.startswith("not journaled") for warning in result["warnings"])


def test_an_unknown_backend_or_cpu_is_no_result(agent: AgentProcess, tmp_path: Path) -> None:
    request = synthetic_request(tmp_path, "a", SPIN)
    unknown = agent.measure({**request, "backend": {"name": "abacus"}})
    assert (unknown["event"], unknown["reason"]) == ("error", "runtime")
    assert "onnxruntime" in unknown["message"]
    far = {"name": "synthetic", "options": {"affinity": [4095]}}
    answer = agent.measure({**request, "id": "b", "backend": far})
    assert (answer["event"], answer["reason"]) == ("error", "environment") and "4095" in answer["message"]
    assert journaled(tmp_path, "b") is None


def test_the_end_of_the_input_lets_the_measurement_finish(agent: AgentProcess, tmp_path: Path) -> None:
    agent.send(**long_request(tmp_path, "m", 0.5))
    wait_until_measuring(agent)
    agent.end_input()
    assert agent.wait_for("result")["status"] == "ok"
    assert agent.process.wait(10) == 0


def test_a_host_that_stops_reading_does_not_stop_the_agent(tmp_path: Path) -> None:
    root = tmp_path / "root"
    request = synthetic_request(tmp_path, "m", {"kind": "hang"}, timeout_s=0.3)
    asking = b'{"op":"ping","id":"%s"}\n' % (b"p" * 200) * 3000  # far more than a pipe holds is due in answer
    with subprocess.Popen(
        [sys.executable, "-m", "modnas_agent", "serve", "--root", str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(asking + json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        deadline = time.monotonic() + 20
        while Journal(root / "journal").get("m") is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    result = Journal(root / "journal").get("m")
    assert result is not None and result["reason"] == "timeout"


def journaled(folder: Path, id_: str) -> Frame | None:
    """What the agents on the root that the fixtures choose have kept of a request."""
    return Journal(folder / "root" / "journal").get(id_)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
