"""Searches on published accuracies: what is imported, and that a benchmark is a user's search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.bench.modnas_method import CONFIG, fit_models
from harness.bench.problem import Problem
from harness.cli import main
from harness.datasets.accuracies import published_accuracies
from harness.datasets.nasbench201 import load
from harness.runs.run import Run
from harness.store import Store
from modnas.spaces import get_space
from modnas.spaces.nasbench201.presets import PRESETS

SEARCHED, UNSEEN = ["1080ti_1", "pixel3", "gold_6240"], "raspi4"
BUDGET = 60


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    code = main([*arguments, "--json"])
    output, errors = capsys.readouterr()
    assert code == 0, errors
    return json.loads(output)


@pytest.fixture
def imported(data_dir: Path) -> Path:
    assert main(["dataset", "import", "nasbench201", "--from", str(data_dir), "--replace"]) == 0
    return data_dir


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> str:
    tables = PRESETS["tables"]
    search = {**tables.search, "epochs": 2, "steps_per_epoch": 10}
    short = tables.model_copy(update={"profile_archs": BUDGET, "search": search})
    monkeypatch.setitem(PRESETS, "brief", short)
    return "brief"


@pytest.mark.slow
@pytest.mark.trains
def test_a_search_on_imported_tables_is_the_benchmark(
    imported: Path, brief: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--task", "cifar10", "--preset", brief, "--accuracy", "published"]
    options += ["--evaluations", str(BUDGET), "--run", "mine"]
    found = document(capsys, "search", "--devices", ",".join(SEARCHED), *options)
    fronts = found["fronts"] | {
        UNSEEN: document(capsys, "front", "--run", "mine", "--device", UNSEEN)["architectures"]
    }
    problem = Problem(load(imported), search_devices=SEARCHED, unseen_devices=[UNSEEN], budget=BUDGET)
    models = fit_models(problem, 0)
    search = models.search(SEARCHED, replace(CONFIG, epochs=2, steps_per_epoch=10))
    for name, expected in models.kept(search, models.evaluated).items():
        assert [entry["arch"].partition(":")[2] for entry in fronts[name]] == [a.string for a in expected]
    for name in SEARCHED:  # verification looks everything up
        verified = found["verification"][name]
        assert (verified["trained_now"], verified["measured_now"]) == (0, 0)
        cells = [problem.space.parse(entry["arch"]) for entry in verified["architectures"]]
        measured = [entry["measured"] for entry in verified["architectures"]]
        true = problem.objectives(name)[problem.indices(cells)]
        assert np.allclose([[m["error"], m["latency_ms"]] for m in measured], true)
    meta = Run.open("mine").load_state("surrogate")[1]
    assert meta["judged_on"] == "published" and len(meta["evaluated"]) == BUDGET


def test_accuracies_are_imported_with_the_tables_and_are_no_device(imported: Path) -> None:
    tables = load(imported)
    with Store() as store:
        assert len(store.table_devices()) == 19
        table = published_accuracies(store, "cifar10", get_space("nasbench201"))
        assert table is not None and table.variant == get_space("nasbench201").variant
        assert published_accuracies(store, "digits", get_space("nasbench201")) is None
    errors = [table.values[arch] for arch in tables.archs]
    assert errors == pytest.approx((100 - tables.metrics["test_cifar10"]).tolist(), abs=1e-4)


def test_a_file_of_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    file = tmp_path / "errors.csv"
    file.write_text(f"arch,value\n{space.references[0].string},12.5\n")
    sizes = ["--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"]
    done = document(capsys, "dataset", "import", str(file), "--task", "digits", *sizes)
    assert done["accuracies"][0]["architectures"] == 1 and not done["devices"]
    with Store() as store:
        table = published_accuracies(store, "digits", space)
    assert table is not None and table.values == {space.references[0].string: 12.5}
    for text, task in (("101", "digits"), ("12.5", "dreams")):
        file.write_text(f"arch,value\n{space.references[0].string},{text}\n")
        assert main(["dataset", "import", str(file), "--task", task, *sizes]) == 2


def test_without_published_accuracies(tiny_preset: str) -> None:
    with (
        harness.Study(preset=tiny_preset, accuracy="published") as study,
        pytest.raises(harness.UsageError, match="dataset import"),
    ):
        study.measure()
