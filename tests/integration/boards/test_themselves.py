"""The test boards do what they say: reached with OpenSSH's own client, so that they are judged by another."""

from __future__ import annotations

import subprocess
import time

from boards_keys import Endpoint
from boards_loopback import LoopbackBoard
from boards_namespace import NamespaceBoard


def ssh(endpoint: Endpoint, command: str, timeout_s: float = 10.0) -> str:
    options = ["BatchMode=yes", f"UserKnownHostsFile={endpoint.known_hosts}", "ConnectTimeout=2"]
    done = subprocess.run(
        ["ssh", "-F", "none", "-i", endpoint.identity_file, "-p", str(endpoint.port)]
        + [part for option in options for part in ("-o", option)]
        + [f"{endpoint.user}@{endpoint.host}", command],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"


def test_loopback_board_answers(loopback: LoopbackBoard) -> None:
    assert ssh(loopback.endpoint, "echo $((6*7))") == "42\n"


def test_board_can_be_cut_delayed_and_rebooted(board: NamespaceBoard) -> None:
    endpoint = board.endpoint()
    assert ssh(endpoint, "id -un; cat /sys/class/thermal/thermal_zone0/type") == "board\ncpu-thermal\n"
    assert "numpy" in ssh(endpoint, "python3 -c 'import numpy; print(numpy)'")
    board.cut()
    assert "timed out" in ssh(endpoint, "true")
    board.set_link(delay_ms=100)
    began = time.monotonic()
    assert ssh(endpoint, "echo slow") == "slow\n"
    assert time.monotonic() - began > 1.0, "a handshake takes several round trips of 200 ms"
    ssh(endpoint, "touch kept")
    before = set(board.processes())
    board.reboot()
    assert not before & set(board.processes())
    assert ssh(endpoint, "ls") == "kept\n"
