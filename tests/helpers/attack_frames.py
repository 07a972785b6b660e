"""Running commands against an agent that lies, and what must hold whatever it says."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from integration_home import TINY
from modnas_agent.folder import MARKER

from harness.cli import main

FAKE_AGENT = Path(__file__).with_name("fake_agent.py")
LATENCY = ["profile", "--device", "fake", "--archs", "1", *TINY]
#: Everything an agent can be asked for.
PROFILE = [*LATENCY, "--per-op", "--metrics", "latency,energy"]
DEVICE = """
name: fake
power_sensor: {name: auto, window_s: 0.1, max_window_s: 0.1}
policy: {precision: 0.25, warmup_s: 0.01, min_time_s: 0.01, max_time_s: 0.05, min_samples: 5, timeout_s: 0.3}
"""
#: Longest a command may take: the limits that the fixture sets, and what a busy machine adds.
LIMIT_S = 12.0
#: Words of a programming error.
INTERNAL = re.compile(r"Traceback|\b[A-Z]\w*(Error|Exception)\b|internal|--debug")


#: Codes of a device that cannot be used.
UNAVAILABLE = {
    "device-unavailable",
    "agent-refused",
    "invalid-frame",
    "connection-lost",
    "connection-timeout",
}


@dataclass
class Ended:
    """A command that ended: its exit code, what it wrote, and how long it took."""

    code: int
    output: str
    errors: str
    seconds: float

    @property
    def said(self) -> str:
        """The line that begins with `error:`, without it."""
        lines = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        return lines[-1].removeprefix("error: ") if lines else ""

    def assert_unavailable(self) -> None:
        """Exit 3, and the one document of a failing `--json` command says what the line for people says."""
        assert self.code == 3, self.errors
        assert self.said
        error = json.loads(self.output)["error"]
        assert error["message"] == self.said and error["code"] in UNAVAILABLE, error


class Lab:
    """A home whose device `fake` is played by `fake_agent.py`."""

    def __init__(self, home: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.store, self._capsys = home, store, capsys
        (home / "devices").mkdir(parents=True, exist_ok=True)
        (home / "agent").mkdir(exist_ok=True)
        (home / "agent" / MARKER).touch()  # as if its archive had been written there
        (home / "devices" / "fake.yaml").write_text(DEVICE)

    def run(self, *arguments: str) -> Ended:
        """Run a command in this process; whatever it shows is checked for being fit to be shown."""
        self._capsys.readouterr()
        began = time.monotonic()
        code = main([*arguments])
        seconds, shown = time.monotonic() - began, self._capsys.readouterr()
        ended = Ended(code, shown.out, shown.err, seconds)
        check_shown(ended)
        return ended

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the store, as another program reads them."""
        if not self.store.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.store)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM measurements")]


def check_shown(ended: Ended) -> None:
    """What a person or a program is shown is printable, speaks no Python, and is JSON where it was asked."""
    for text in (ended.output, ended.errors):
        odd = {character for character in text if not character.isprintable() and character != "\n"}
        assert not odd, f"unprintable: {odd}"
        assert not INTERNAL.search(text), text
        assert max(map(len, text.splitlines()), default=0) < 5000
    if ended.output:
        json.loads(ended.output, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert ended.errors.count("error: ") <= 1
    assert ended.seconds < LIMIT_S


def write_agent(folder: Path, mode: str, always: bool = False) -> Path:
    """A program that a local transport starts in place of the agent's archive."""
    program = folder / "agent.py"
    code = f"import sys; sys.argv = [sys.argv[0], {mode!r}]; sys.path.insert(0, {str(FAKE_AGENT.parent)!r})"
    program.write_text(
        f"{code}\nimport fake_agent\nfake_agent.serve(fake_agent.MODES[sys.argv[1]], {always})\n"
    )
    return program


def command_of(mode: str) -> str:
    """The shell command that plays the agent on a board."""
    return f"{sys.executable} {FAKE_AGENT} '{mode}'"
