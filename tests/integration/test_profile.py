"""Profiling for real: agents, workers, runtimes, and processes that are killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from integration_home import TINY, Home
from onnx import numpy_helper

from harness.cli import main
from harness.export import ArtifactCache, artifact
from harness.store import Store
from modnas.spaces import get_space


def rows_in(home: Home) -> int:
    """Rows of the store, read as another program would."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(
            sqlite3.connect(f"{(home.folder / 'store.sqlite').as_uri()}?mode=ro", uri=True)
        ) as connection,
    ):
        return int(connection.execute("SELECT count(*) FROM measurements").fetchone()[0])
    return 0


@pytest.mark.slow
def test_cells_are_measured_once(home: Home) -> None:
    command = ("profile", "--device", "quick", "--archs", "3", *TINY)
    first = home.run(*command)
    assert (first["measured"], first["reused"], first["failed"]) == (3, 0, 0)
    for one in first["measurements"]:
        latency = one["latency_ms"]
        assert 0 < latency["p10"] <= latency["median"] <= latency["p90"] < 100
        assert latency["n"] >= 5 and one["memory_mb"] > 1
        assert one["max_abs_diff"] < 1e-3, "the runtime computes what PyTorch computes"
    again = home.run(*command)
    assert (again["measured"], again["reused"]) == (0, 3)
    assert again["measurements"] == first["measurements"]
    assert rows_in(home) == 3


@pytest.mark.slow
def test_a_home_may_have_any_path(tmp_path: Path) -> None:
    home = Home(tmp_path / """it's "50%41" #1? &ä 名;$(touch x) -r [a] file:x""")
    found = home.run("profile", "--device", "quick", "--archs", "2", *TINY)
    assert (found["measured"], found["failed"]) == (2, 0) and rows_in(home) == 2
    home.run("search", "--devices", "quick", "--preset", "tiny", "--run", "mine")
    assert (home.folder / "runs" / "mine" / "report.html").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [home.folder.name], "nothing lies elsewhere"


def spoil(cells: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make exports of some cells broken files: `nan` weights, or no network but `garbage`."""
    get, to_onnx = ArtifactCache.get, artifact.to_onnx

    def broken(network: Any, *shapes: Any) -> onnx.ModelProto:
        model = to_onnx(network, *shapes)
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor) * float("nan")
            tensor.CopyFrom(numpy_helper.from_array(values.astype("float32"), tensor.name))
        return model

    def spoiling(cache: ArtifactCache, space: Any, architecture: Any, *rest: Any, **form: Any) -> Any:
        how = cells.get(architecture.string)
        with monkeypatch.context() as patch:
            if how == "nan":
                patch.setattr(artifact, "to_onnx", broken)
            found = get(cache, space, architecture, *rest, **form)
        if how == "garbage":
            content = b"garbage"
            path = found.path.with_name("garbage.onnx")
            path.write_bytes(content)
            found = replace(found, path=path, sha256=hashlib.sha256(content).hexdigest())
        return found

    monkeypatch.setattr(ArtifactCache, "get", spoiling)


def test_failing_cells_are_rows_and_the_others_go_on(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    cells = [space.architecture((op, 0, 0, 3, 1, 0)) for op in range(1, 5)]
    names = tmp_path / "cells.txt"
    names.write_text("\n".join(cell.string for cell in cells))
    spoil({cells[1].string: "garbage", cells[2].string: "nan"}, monkeypatch)
    command = ["profile", "--device", "quick", "--archs", str(names), *TINY, "--json"]
    assert main(command) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["measured"], found["failed"]) == (4, 2)
    assert [m["arch"] for m in found["measurements"]] == [cell.id for cell in cells]
    assert [m["status"] for m in found["measurements"]] == ["ok", "error", "error", "ok"]
    assert [m.get("reason") for m in found["measurements"]] == [None, "runtime", "nan", None]
    assert all(m["message"] for m in found["measurements"][1:3])
    assert main(command) == 1
    assert json.loads(capsys.readouterr().out)["measured"] == 0


@pytest.mark.slow
def test_memory_limit_makes_rows_and_lifting_it_measures_again(home: Home) -> None:
    path = home.folder / "devices" / "quick.yaml"
    usual = path.read_text()
    path.write_text(usual.replace("policy: {", "policy: {memory_limit_mb: 1, "))
    command = ("profile", "--device", "quick", "--archs", "2", "--set", "channels=64", "--set", "cells=2")
    failed = home.run(*command, code=1)
    assert [m["reason"] for m in failed["measurements"]] == ["memory", "memory"]
    path.write_text(usual)
    found = home.run(*command)
    assert (found["measured"], found["failed"]) == (2, 0)


@pytest.mark.slow
def test_killed_profile_continues(home: Home) -> None:
    command = ("profile", "--device", "quick", "--archs", "14", *TINY)
    process = home.start(*command)
    deadline = time.monotonic() + 60
    while rows_in(home) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    kept = rows_in(home)
    assert 2 <= kept < 14, "killed while it was measuring"
    found = home.run(*command)
    assert (found["measured"], found["reused"], found["failed"]) == (14 - kept, kept, 0)
    with Store() as store:
        assert store.check() is None
    with contextlib.closing(sqlite3.connect(home.folder / "store.sqlite")) as connection:
        # One taken under drift is in the store once more, with its warning: not another measurement.
        (distinct, taken) = connection.execute(
            "SELECT count(DISTINCT key), count(DISTINCT key || created_at) FROM measurements"
        ).fetchone()
    assert distinct == 14 and taken == 14 + found["repeated"]
