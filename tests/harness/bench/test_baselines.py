"""Baselines on the published tables, and the quality of a set of cells."""

from __future__ import annotations

import json

import pytest

from harness.bench import baselines as baselines_run
from harness.bench.baselines import run_baselines
from harness.bench.problem import Problem
from harness.cli import main
from harness.core.errors import UsageError
from harness.datasets import nasbench201
from harness.datasets.nasbench201_quality import DATASETS, TableQuality
from modnas.baselines import once_for_all
from modnas.search import indicators
from modnas.spaces.nasbench201 import NasBench201

SPACE = NasBench201()


@pytest.fixture(scope="module")
def tables(data_dir):
    return nasbench201.load(data_dir)


@pytest.mark.parametrize("dataset", DATASETS)
def test_exact_hypervolumes_are_the_published_ones(tables, dataset):
    published = tables.reference["true_pareto_hypervolume"]["values"][dataset]
    assert len(published) == 20
    for device in tables.latency_ms:
        quality = TableQuality(tables, device, dataset)
        assert quality.exact_hypervolume == pytest.approx(published[device]["hypervolume"], abs=1e-6)


def test_the_exact_front_has_ratio_one_and_a_part_of_it_less(tables):
    quality = TableQuality(tables, "raspi4", "cifar10")
    front = [SPACE.at(int(i)) for i in indicators.non_dominated(quality.objectives).nonzero()[0]]
    assert quality.hypervolume_ratio(front) == pytest.approx(1)
    assert 0 < quality.hypervolume_ratio(front[:3]) < quality.hypervolume_ratio(front[:6]) < 1
    assert quality.hypervolume_ratio([SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")]) == 0


@pytest.mark.trains
def test_rows_say_what_was_run(tables):
    seen = []
    report = run_baselines(tables, ["rs", "ls"], ["fpga", "pixel2"], budget=12, seeds=2, on_row=seen.append)
    assert seen == report.rows
    assert [(r.method, r.device, r.seed) for r in seen] == [
        (m, d, s) for m in ("rs", "ls") for d in ("fpga", "pixel2") for s in (0, 1)
    ]
    assert {(r.metric, r.evaluations) for r in seen} == {("hypervolume_ratio", 12)}
    assert all(0 < r.value <= 1 and r.seconds > 0 for r in seen)
    assert report.meta_learning_seconds == report.failures == {}
    again = run_baselines(tables, ["rs", "ls"], ["fpga", "pixel2"], budget=12, seeds=2)
    assert [r.value for r in again.rows] == [r.value for r in seen]


@pytest.mark.trains
def test_help_is_meta_learned_once_for_all_devices(tables, monkeypatch):
    calls = []

    def quick(space, learned, *, seed):
        calls.append((seed, [table.name for table in learned]))
        return meta_learn(space, learned, steps=5, seed=seed)

    meta_learn = baselines_run.meta_learn
    monkeypatch.setattr(baselines_run, "meta_learn", quick)
    report = run_baselines(tables, ["help"], ["fpga", "raspi4"], budget=24, seeds=2)
    assert [seed for seed, _ in calls] == [0, 1] == list(report.meta_learning_seconds)
    splits = tables.reference["devices"]
    assert set(calls[0][1]) == {*splits["meta_train"], *splits["meta_valid"]}
    assert {r.evaluations for r in report.rows} == {24}


@pytest.mark.slow
@pytest.mark.trains
def test_what_models_were_fitted_on_is_counted_and_fitted_once(tables, monkeypatch):
    seeds = []

    def quick(problem, seed, *, choice):
        seeds.append((problem.dataset, seed))
        problem = Problem(tables, search_devices=["1080ti_1", "pixel3"], budget=60, dataset=problem.dataset)
        return fit_models(problem, seed, choice=choice)

    fit_models = baselines_run.fit_models
    monkeypatch.setattr(baselines_run, "fit_models", quick)
    monkeypatch.setattr(once_for_all, "GENERATIONS", 2)
    methods, devices = ["ofa", "lemonade"], ["fpga", "raspi4"]
    report = run_baselines(tables, methods, devices, dataset="cifar100", budget=5)
    assert report.failures == {}
    assert seeds == [("cifar100", 0)]
    assert report.model_seconds[0] > 0
    spent = {method: {r.evaluations for r in report.rows if r.method == method} for method in methods}
    assert spent["lemonade"] == {5}
    assert all(60 <= count <= 65 for count in spent["ofa"])


def test_a_method_that_cannot_run_does_not_stop_the_others(tables):
    report = run_baselines(tables, ["help", "rs"], ["fpga"], budget=501)
    assert [r.method for r in report.rows] == ["rs"]
    assert "lower the budget" in report.failures["help"]


def test_wrong_input(tables):
    for methods, devices, options in (
        (["rs", "nope"], ["fpga"], {}),
        ([], ["fpga"], {}),
        (["rs"], ["toaster"], {}),
        (["rs"], [], {}),
        (["rs"], ["fpga"], {"dataset": "mnist"}),
        (["rs"], ["fpga"], {"budget": 0}),
    ):
        with pytest.raises(UsageError):
            run_baselines(tables, methods, devices, **options)


def test_command(data_dir, capsys):
    arguments = ["baselines", "--data", str(data_dir), "--method", "rs,nsga2", "--devices", "eyeriss"]
    assert main([*arguments, "--budget", "10", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(r["method"], r["evaluations"]) for r in document["rows"]] == [("rs", 10), ("nsga2", 10)]
    assert {(r["experiment"], r["group"], r["metric"], len(r["cells"])) for r in document["rows"]} == {
        ("baselines", "unseen", "hypervolume_ratio", 10)
    }
    assert main([*arguments, "--budget", "600", "--method", "help"]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert "help chooses 600 of 500 proposals" in errors
    assert main([*arguments, "--space", "other"]) == 2
