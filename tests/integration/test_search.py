"""A search that is killed, continued, verified and reported."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from integration_home import TINY, Home

pytestmark = pytest.mark.trains

RUN = ("--run", "mine")
SEARCH = ("search", "--devices", "quick", "--preset", "tiny", *RUN, "--no-verify")
# Ends after the measurements and the predictor.
STOP_BEFORE_SEARCHING = """
import os
import harness.runs.stages
harness.runs.stages.run_search = lambda *_: os._exit(77)
"""
# Dies in the middle of an epoch, as by kill -9.
DIE_IN_EPOCH = """
import os, signal
from modnas.search import Search
step = Search._lower_step
def dying(self, batch):
    step(self, batch)
    if self.epoch == %d:
        os.kill(os.getpid(), signal.SIGKILL)
Search._lower_step = dying
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose measurements and predictor are done, so that searches in copies of it are comparable."""
    home = Home(tmp_path_factory.mktemp("prepared") / "home")
    process = home.start(*SEARCH, before=STOP_BEFORE_SEARCHING)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 77, errors
    return home.folder


def copy_of(prepared: Path, folder: Path) -> Home:
    shutil.copytree(prepared, folder)
    return Home(folder)


def front_of(home: Home) -> Any:
    return json.loads((home.folder / "runs" / "mine" / "front.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a finished search."""
    home = copy_of(prepared, tmp_path_factory.mktemp("whole") / "home")
    assert home.run(*SEARCH)["run"] == "mine"
    return home


@pytest.mark.slow
def test_search_killed_in_an_epoch_comes_to_the_same_front(
    prepared: Path, uninterrupted: Home, tmp_path: Path
) -> None:
    home = copy_of(prepared, tmp_path / "home")
    for epoch in (1, 4):
        process = home.start(*SEARCH, before=DIE_IN_EPOCH % epoch)
        process.communicate(timeout=200)
        assert process.returncode == -9
    assert not (home.folder / "runs" / "mine" / "front.json").exists()
    home.run(*SEARCH)
    assert front_of(home) == front_of(uninterrupted)
    epochs, whole = (
        json.loads((one.folder / "runs" / "mine" / "epochs.json").read_text())
        for one in (home, uninterrupted)
    )
    assert [e["hypervolume"] for e in epochs] == [e["hypervolume"] for e in whole]


@pytest.mark.slow
def test_search_killed_from_outside_comes_to_the_same_front(
    prepared: Path, uninterrupted: Home, tmp_path: Path
) -> None:
    home = copy_of(prepared, tmp_path / "home")
    process = home.start(*SEARCH)
    checkpoint = home.folder / "runs" / "mine" / "checkpoint.safetensors"
    deadline = time.monotonic() + 100
    while not checkpoint.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -9 and checkpoint.exists()
    home.run(*SEARCH)
    assert front_of(home) == front_of(uninterrupted)


@pytest.mark.slow
def test_verification_and_report(uninterrupted: Home) -> None:
    home = uninterrupted
    verified = home.run("verify", *RUN, "--device", "quick")
    predicted = front_of(home)["devices"]["quick"]
    assert [e["arch"] for e in verified["architectures"]] == [e["arch"] for e in predicted]
    assert len(verified["random"]) == len(predicted) >= 1
    for entry in [*verified["architectures"], *verified["random"]]:
        assert entry["measured"]["latency_ms"] > 0 and 0 <= entry["measured"]["error"] <= 100
    assert verified["trained_now"] >= len(predicted)
    again = home.run("verify", *RUN, "--device", "quick")
    assert (again["trained_now"], again["measured_now"]) == (0, 0)
    assert again["architectures"] == verified["architectures"]

    html = Path(home.run("report", *RUN)["report"]).read_text()
    assert f"{verified['hypervolume']['front']:.4f}" in html and "Not verified" not in html
    for entry in verified["architectures"]:
        assert entry["arch"] in html and f"{entry['measured']['latency_ms']:.4f}" in html
    outside_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"<[^>]+(src|href)=.?http", outside_scripts)


@pytest.mark.slow
def test_unsearched_device_gets_a_front_from_its_references(uninterrupted: Home) -> None:
    home = uninterrupted
    process = home.start("front", *RUN, "--device", "quick@2")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1 and "modnas-hw features --device quick@2" in errors
    home.run("features", "--device", "quick@2", *TINY)
    found = home.run("front", *RUN, "--device", "quick@2")
    assert found["device"] == "quick@2" and found["architectures"]
