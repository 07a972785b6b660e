"""Whatever a board says over SSH, beside and below the agent's frames."""

from __future__ import annotations

import json
import os
from pathlib import Path

import fake_board
import pytest
from attack_frames import PROFILE, Lab
from boards_loopback import LoopbackBoard

from harness.agent import client as agent_client
from harness.transport import ssh, ssh_connection

#: What is asked of a board whose command is played.
ASKED = {
    "version": ["devices", "check", fake_board.NAME],
    "hash": ["devices", "check", fake_board.NAME],
    "hello": ["devices", "add", "newboard", "--force"],
    "facts": ["agent", "install", "--device", fake_board.NAME, "--offline"],
    "serve": ["devices", "check", fake_board.NAME],
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, short_limits: None, tmp_path: Path) -> None:
    """Boards on the loopback answer at once."""
    monkeypatch.setattr(agent_client, "MARGIN_S", 1.0)
    monkeypatch.setattr(ssh_connection, "COMMAND_S", 8.0)
    for name, seconds in {"PROBE_AFTER_S": 0.3, "ANSWER_S": 3.0, "GREETING_S": 2.0}.items():
        monkeypatch.setattr(ssh, name, seconds)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.mark.parametrize("mode", fake_board.MODES)
def test_what_a_board_says(lab: Lab, attacked_board: LoopbackBoard, tmp_path: Path, mode: str) -> None:
    command, shell = fake_board.MODES[mode]
    fake_board.write_board(attacked_board, lab.home, tmp_path, command, shell)
    asked = list(ASKED[command])
    if command == "hello":
        endpoint = attacked_board.endpoint
        asked += ["--ssh", f"{endpoint.user}@{endpoint.host}:{endpoint.port}"]
        asked += ["--identity-file", str(endpoint.identity_file), "--known-hosts", str(endpoint.known_hosts)]
        asked += ["--python", str(tmp_path / "python")]
    ended = lab.run(*asked, "--json")
    ended.assert_unavailable()


@pytest.mark.parametrize(("mode", "code"), fake_board.AGENT_MODES.items())
def test_what_an_agent_says_there(
    lab: Lab, attacked_board: LoopbackBoard, tmp_path: Path, mode: str, code: int
) -> None:
    fake_board.write_board(attacked_board, lab.home, tmp_path, *fake_board.playing(mode))
    asked = [fake_board.NAME if word == "fake" else word for word in PROFILE]
    ended = lab.run(*asked, "--json")
    assert ended.code == code, ended.errors
    assert [row["status"] for row in lab.rows()] == {0: ["ok"], 1: ["error"], 3: []}[code]


def test_a_file_whose_name_is_no_text(lab: Lab, attacked_board: LoopbackBoard, tmp_path: Path) -> None:
    fake_board.write_board(attacked_board, lab.home, tmp_path, "serve", ":")
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / os.fsdecode(b"\xff\xfe")).touch()
    ended = lab.run("agent", "status", "--device", fake_board.NAME, "--json")
    assert ended.code == 0 and json.loads(ended.output) == {"installed": None, "agents": []}


def test_names_of_files_there(lab: Lab, attacked_board: LoopbackBoard, tmp_path: Path) -> None:
    fake_board.write_board(attacked_board, lab.home, tmp_path, "serve", ":")
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "modnas_agent-\x1b[31m\u202e.pyz").touch()
    (tmp_path / "agent" / "install-onnxruntime.json").write_text('{"version": 5, "python": {}}')
    ended = lab.run("agent", "status", "--device", fake_board.NAME, "--json")
    assert ended.code == 0 and json.loads(ended.output)["installed"] is None
