"""Options of `search`: what they resolve to, and a search that uses them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.cli import main
from harness.core.errors import DeviceUnavailableError, ModnasHwError, UsageError
from harness.presets import get_preset
from harness.runs.run import Run, RunConfig
from harness.store import Store
from harness.study import Study
from modnas.spaces import get_space

SPACE = get_space("nasbench201")


def resolved(**given: Any) -> RunConfig:
    """The configuration of a study of these arguments."""
    with Study(**given) as study:
        return study.config


def test_defaults_change_nothing() -> None:
    config = resolved()
    assert config.settings == get_preset("nasbench201", "quick")
    assert config.objectives == ("error", "latency") and config.evaluations is None


def test_bounds_are_in_the_order_of_the_metrics() -> None:
    def changed(**given: Any) -> dict[str, Any]:
        search, preset = resolved(**given).settings.search, get_preset("nasbench201", "quick").search
        return {name: value for name, value in search.items() if preset.get(name) != value}

    found = changed(
        objectives="error,latency,energy", constraints=["energy=0.4"], scheme="sample", estimator="gdas"
    )
    assert found == {"constraints": [None, 0.4], "scheme": "sample", "estimator": "gdas"}
    assert changed(constraints=("latency=0.2",)) == {"constraints": [0.2]}
    assert changed(constraints={"latency": 0.2}) == {"constraints": [0.2]}


def test_the_hypernetwork_is_conditioned_unless_preset_or_option_says_otherwise() -> None:
    def chosen(**given: Any) -> tuple[str, str]:
        search = resolved(**given).settings.search
        return search["hypernetwork"], search["learning"]

    assert chosen() == chosen(hypernetwork="conditioned") == ("conditioned", "imitation")
    assert chosen(preset="paper") == chosen(hypernetwork="paper") == ("paper", "gradients")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"objectives": "error"}, "error,latency"),
        ({"objectives": "error,latency,beauty"}, "error,latency"),
        ({"objectives": "error,latency,latency"}, "error,latency"),
        ({"constraints": ("latency",)}, "latency=0.2"),
        ({"constraints": ("latency=2",)}, "latency=0.2"),
        ({"constraints": ("energy=0.5",)}, "no hardware metric"),
        ({"constraints": ("latency=1", "latency=0.2")}, "latency=0.2: give each metric one bound"),
        ({"scheme": "sum"}, "one of mgd"),
        ({"estimator": "darts"}, "one of reinmax"),
        ({"hypernetwork": "deep"}, "one of conditioned"),
        ({"accuracy": "oracle"}, "one of supernet"),
        ({"accuracy": "surrogate", "evaluations": 9}, "nothing to fit"),
        ({"accelerator": "tpu"}, "one of auto"),
    ],
)
def test_wrong_options_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        resolved(**given)


def test_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolved(accelerator="auto").accelerator == "cpu"
    with pytest.raises(DeviceUnavailableError, match="no CUDA"):
        resolved(accelerator="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolved(accelerator="auto").accelerator == "cuda"
    assert resolved(accelerator="cpu").accelerator == "cpu"


def board(folder: Path, metric: str, factor: float) -> Path:
    """A file of 60 cells whose values grow with the operators."""
    cells = dict.fromkeys([*SPACE.references, *SPACE.sample(50, torch.Generator().manual_seed(3))])
    work = SPACE.encode(list(cells)).view(-1, 6, 5) @ torch.tensor([0.0, 0.1, 1.0, factor, 0.5])
    path = folder / f"{metric}.csv"
    lines = [f"{cell.string},{1 + value}\n" for cell, value in zip(cells, work.sum(1).tolist(), strict=True)]
    path.write_text("arch,value\n" + "".join(lines))
    return path


@pytest.mark.slow
@pytest.mark.trains
@pytest.mark.usefixtures("fake_agents")
def test_three_objectives_and_a_surrogate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_preset: str
) -> None:
    for metric, factor in (("latency", 3.0), ("energy", 7.0)):
        command = ["dataset", "import", "--device", "board", "--metric", metric]
        assert main([*command, str(board(tmp_path, metric, factor))]) == 0
    command = ["search", "--devices", "board", "--preset", tiny_preset, "--run", "mine", "--no-verify"]
    command += ["--objectives", "error,latency,energy", "--constraint", "latency=0.5", "--scheme", "mean"]
    command += ["--accuracy", "surrogate", "--evaluations", "12", "--estimator", "gdas", "--json"]
    capsys.readouterr()
    assert main(command) == 0
    output, errors = capsys.readouterr()
    assert "fitted on the validation errors of 12 trained networks" in errors
    for entry in json.loads(output)["fronts"]["board"]:
        assert len(entry["preference"]) == 3
        assert set(entry["predicted"]) == {"error", "latency_ms", "energy_mj"}
        assert min(entry["predicted"].values()) > 0

    run = Run.open("mine")
    meta = run.load_state("surrogate")[1]
    assert (meta["evaluations"], meta["judged_on"]) == (12, "valid")
    assert run.load_state("checkpoint")[1]["config"]["constraints"] == [0.5, None]
    assert not any(name.startswith("supernetwork") for name in run.load_state("checkpoint")[0])
    with Store() as store:
        assert store.counts()["evaluations"] == len(meta["evaluated"]) == 12
    assert main(command) == 0, "the same command again continues what is done"
    assert "fitted on" not in capsys.readouterr().err


def test_presets_of_nasbench201() -> None:
    small, paper = (get_preset("nasbench201", name) for name in ("small", "paper"))
    assert (paper.space, paper.search["epochs"], paper.front_size) == ({"channels": 16, "cells": 5}, 100, 24)
    assert small.space["channels"] < paper.space["channels"]
    with pytest.raises(ModnasHwError, match="quick"):
        get_preset("nasbench201", "huge")
