"""An emulated aarch64 board: wheels for another architecture, from bare to a device vector.

Its timings mean nothing and are not looked at; that it computes what PyTorch computes here does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from boards_image import share_wheels
from boards_namespace import NamespaceBoard

from harness.cli import main
from harness.store import Store
from modnas.spaces import get_space

TINY = ["--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"]
#: Importing the runtime under emulation takes most of a minute on a busy machine.
POLICY = {
    "precision": 0.5,
    "warmup_s": 0.01,
    "min_time_s": 0.01,
    "max_time_s": 0.05,
    "min_samples": 5,
    "timeout_s": 120.0,
    "memory_limit_mb": None,
}


@pytest.mark.slow
def test_bare_aarch64_board_becomes_a_device_vector(
    make_board: Callable[..., NamespaceBoard],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODNAS_STORE", raising=False)
    share_wheels(tmp_path / "home")
    board = make_board(with_runtime=False, emulated=True)
    reach = ["--identity-file", str(board.client_key), "--known-hosts", str(board.known_hosts)]
    assert main(["devices", "add", "arm", "--ssh", f"board@{board.address}", *reach]) == 0
    path = tmp_path / "home/devices/arm.yaml"
    content = yaml.safe_load(path.read_text())
    assert "aarch64, 2 x 0x41:0xd08" in content["description"]
    path.write_text(yaml.safe_dump({**content, "policy": POLICY}))
    assert main(["agent", "install", "--device", "arm", "--offline"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["features", "--device", "arm", *TINY, "--json"]) == 0
    assert capsys.readouterr().out
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    with Store() as store:
        rows = store.device_measurements("arm", space.name, space.variant)
    assert len(rows) == 10 and all(row.status == "ok" for row in rows)
    assert max(row.max_abs_diff or 0.0 for row in rows) < 1e-4
    assert rows[0].request["inventory"]["machine"] == "aarch64"
