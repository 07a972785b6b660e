"""A backend of another package on a board: its agent's side is brought there, and taken away again."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from boards_loopback import LoopbackBoard

from harness.cli import main

EXAMPLE = Path(__file__).resolve().parents[2] / "plugins" / "modnas_hw_example"
QUICK = {"precision": 0.3, "warmup_s": 0.01, "min_time_s": 0.01, "max_time_s": 0.05, "min_samples": 5}


@pytest.mark.slow
def test_a_plugins_backend_measures_on_a_board(
    loopback: LoopbackBoard,
    install_package: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    monkeypatch.syspath_prepend(EXAMPLE)
    source = "from modnas_hw_example.backend import Reference"
    install_package("example", "modnas_hw.backends", {"reference": "Reference"}, source)
    loopback.endpoint.write_profile(tmp_path / "home", "pi", policy=QUICK)

    def run(line: str) -> tuple[str, str]:
        ended, read = main(shlex.split(line)), capsys.readouterr()
        assert ended == 0, read.err
        return read.out, read.err

    assert "ONNX's reference" in run("agent install --device pi --backend reference")[1]
    agent = loopback.directory / "agent"
    assert (agent / "install-backend-reference.json").is_file()
    space = "--space nasbench201 --set channels=4 --set cells=1 --set input=1x8x8"
    rows = json.loads(run(f"profile --device pi --backend reference {space} --archs 2 --json")[0])
    assert [row["status"] for row in rows["measurements"]] == ["ok", "ok"]
    assert {row["backend"] for row in rows["measurements"]} == {"reference"}
    (archive,) = agent.glob("*.pyz")
    brought = zipfile.ZipFile(archive).read("modnas_agent/backends/reference.py")
    assert brought == (EXAMPLE / "modnas_hw_example" / "on_the_board.py").read_bytes()
    plain = json.loads(run(f"profile --device pi {space} --archs 1 --json")[0])
    assert plain["measurements"][0]["backend"] == "onnxruntime"
    assert len(list(agent.glob("*.pyz"))) == 2, "the agent without it is another one"
    run("agent uninstall --device pi")
    assert not agent.exists()
