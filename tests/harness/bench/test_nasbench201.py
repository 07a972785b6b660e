"""`benchmark nasbench201` on the published tables, with budgets that a test can afford."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import fmean

import pytest

from harness.bench import main_experiment, modnas_method, nasbench201
from harness.bench.problem import Problem
from harness.bench.rows import Row, summary
from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets.nasbench201 import load
from modnas.baselines import once_for_all
from modnas.search.indicators import hypervolume


@pytest.fixture(scope="module")
def problem(data_dir):
    return Problem(load(data_dir))


def test_exact_fronts_are_those_published_with_the_tables(problem):
    published = problem.tables.reference["true_pareto_hypervolume"]["values"]["cifar10"]
    for device in problem.devices:
        volume = hypervolume(problem.exact_front(device))
        assert volume == pytest.approx(published[device]["hypervolume"], abs=1e-6)


def test_the_exact_front_is_perfect_by_every_indicator(problem):
    errors, latency = problem.quality("raspi4").objectives.T
    members = [
        cell
        for cell, error, cost in zip(problem.cells, errors, latency, strict=True)
        if not ((errors <= error) & (latency <= cost) & ((errors < error) | (latency < cost))).any()
        and error < 90
    ]
    figures = problem.judge("raspi4", members)
    assert figures["hypervolume_ratio"] == pytest.approx(1)
    assert [figures[k] for k in ("gd", "igd", "gd_plus", "igd_plus")] == pytest.approx([0] * 4)


def test_the_search_devices_and_the_unseen_ones_do_not_overlap(problem):
    assert (len(problem.search_devices), len(problem.unseen_devices)) == (13, 6)
    assert {problem.group(d) for d in problem.unseen_devices} == {"unseen"}
    assert not set(problem.search_devices) & set(problem.unseen_devices)


@pytest.mark.slow
@pytest.mark.trains
def test_a_short_search_beats_random_cells_and_what_it_was_told(problem, monkeypatch):
    searched = ["1080ti_1", "pixel3", "gold_6240"]
    problem = Problem(problem.tables, search_devices=searched, unseen_devices=["raspi4"])
    monkeypatch.setattr(
        main_experiment, "CONFIG", replace(modnas_method.CONFIG, epochs=2, steps_per_epoch=20)
    )
    monkeypatch.setattr(main_experiment, "BASELINES", ("rs", "ls"))
    monkeypatch.setattr(main_experiment, "ON_MODELS", ("ofa",))
    monkeypatch.setattr(once_for_all, "GENERATIONS", 10)
    methods = [main_experiment.modnas, main_experiment.baselines, main_experiment.lemonade]
    monkeypatch.setattr(main_experiment, "METHODS", methods)
    monkeypatch.setattr(problem, "usable", problem.usable[::3])
    rows = list(main_experiment.run(problem, seed=0))
    ratio = {(r.method, r.device): r.value for r in rows if r.metric == "hypervolume_ratio"}
    assert ratio["modnas", "raspi4"] > max(ratio["modnas-readoff", "raspi4"], 0.95)
    # One run of these may be lucky.
    runs = [main_experiment.baselines(problem, seed) for seed in range(6)]
    for weaker in ("rs", "ls"):
        fronts = [run[weaker].by_device["raspi4"] for run in runs]
        assert ratio["modnas", "raspi4"] > fmean(problem.hypervolume_ratio("raspi4", f) for f in fronts)
    spent = {method: {r.evaluations for r in rows if r.method == method} for method, _ in ratio}
    assert all(900 <= count <= 924 for count in spent["modnas"])
    assert spent["best-evaluated"] == {900}, "its fronts were evaluated already"
    assert all(900 <= count <= 924 for count in spent["ofa"])
    assert ratio["ofa", "raspi4"] > max(ratio["rs", "raspi4"], 0.9)
    assert spent["rs"] == spent["ls"] == spent["lemonade"] == {24}


def test_predictor_experiment_by_the_command_line(data_dir, capsys, monkeypatch):
    def cheap(problem, seed):
        yield Row("predictor", "mine", "raspi4", "unseen", seed, "spearman", 0.5 + seed, None, 1.0)

    monkeypatch.setitem(nasbench201.EXPERIMENTS, "predictor", cheap)
    arguments = ["benchmark", "nasbench201", "--data", str(data_dir), "--experiment", "predictor"]
    assert main([*arguments, "--seeds", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = document["rows"]
    assert {claim["verdict"] for claim in document["claims"]} <= {"confirmed", "contradicted", "undecided"}
    assert [row["value"] for row in rows] == [0.5, 1.5]
    assert set(rows[0]) >= {"experiment", "method", "device", "seed", "metric", "value", "evaluations"}
    assert main(arguments) == 0
    assert "spearman" in capsys.readouterr().err


def test_unknown_experiment_and_missing_tables(data_dir, tmp_path):
    with pytest.raises(UsageError, match="known: main"):
        nasbench201.run(data_dir, "nothing", 1)
    with pytest.raises(UsageError, match="holds no NAS-Bench-201 tables"):
        nasbench201.run(tmp_path, "main", 1)


def test_summary_is_by_method_metric_and_group():
    rows = [
        Row("main", "a", device, group, 0, "gd", value, None, 0.0)
        for device, group, value in (("x", "search", 1.0), ("y", "search", 3.0), ("z", "unseen", 5.0))
    ]
    assert summary(rows) == [("a", "gd", "search", 2.0, 1.0, 3.0, 2), ("a", "gd", "unseen", 5.0, 5.0, 5.0, 1)]
