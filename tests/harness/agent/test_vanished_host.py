"""An agent whose host vanished without closing anything ends by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from harness.agent.archive import write_archive


def test_agent_ends_when_its_host_is_silent(tmp_path: Path) -> None:
    command = [sys.executable, str(write_archive(tmp_path)), "serve", "--root", str(tmp_path / "root")]
    began = time.monotonic()
    with subprocess.Popen(
        [*command, "--idle-s", "1.5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert b'"hello"' in process.stdout.readline()
        time.sleep(0.8)
        process.stdin.write(b'{"op": "ping", "id": "p"}\n')
        process.stdin.flush()
        assert b'"pong"' in process.stdout.readline()
        assert process.wait(30) == 0
    assert time.monotonic() - began > 2.2, "every request starts the time again"
