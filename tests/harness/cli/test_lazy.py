"""The list of commands, which is printed without importing them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.cli import main
from harness.cli.app import Commands
from harness.cli.lazy import load

PUBLIC = (
    "doctor devices agent profile tune features dataset predictor search front verify report "
    "benchmark baselines"
)


def test_every_command_is_listed_in_order_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:")[2].strip().splitlines()
    assert [line.split()[0] for line in lines] == PUBLIC.split()
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("name", Commands.entries)
def test_every_entry_leads_to_its_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(Commands.entries[name]).callback or load(Commands.entries[name]).commands
    assert main([name, "--help"]) == 0
    assert f" {name} " in capsys.readouterr().out


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serach"]) == 2
    assert "serach" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        (["--help"], "torch scipy numpy sqlalchemy paramiko pydantic"),
        (["devices", "list"], "torch scipy"),
        (["devices", "show", "cpu"], "torch scipy"),
    ],
    ids=" ".join,
)
def test_what_answers_at_once_imports_nothing_heavy(command: list[str], heavy: str) -> None:
    code = (
        f"import sys; from harness.cli import main; main({command!r}); "
        f"print(sorted({{*{heavy.split()!r}}} & {{*sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
