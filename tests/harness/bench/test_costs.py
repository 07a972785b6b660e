"""What methods cost, with budgets that a test can afford."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench import costs, nasbench201
from harness.bench.costs import METRICS, Cost, Share
from harness.bench.plots import write_page
from harness.bench.problem import FRONT_SIZE, Problem
from harness.datasets.nasbench201 import load
from modnas.baselines import once_for_all
from modnas.spaces.nasbench201 import NasBench201


def test_what_is_done_once_is_shared_and_a_network_is_trained_once() -> None:
    one, two, three, four = (NasBench201().at(index) for index in range(4))
    cost = Cost(
        Share(1, (one, two), 10.0), {"a": Share(0, (one, three), 2.0), "b": Share(3, (three, four), 4.0)}
    )
    assert cost.figures() == {
        "searches": 4,
        "trained_networks": 4,
        "seconds_per_device_and_bound": pytest.approx(16 / (2 * FRONT_SIZE)),
        "searches_of_a_further_device": 1.5,
        "trained_networks_of_a_further_device": 1.5,
        "seconds_of_a_further_device": 3.0,
    }


@pytest.mark.slow
@pytest.mark.trains
def test_costs_are_counted_as_methods_run(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(load(data_dir), ("latency",), ["1080ti_1", "pixel3"], ["raspi4"], budget=60)
    monkeypatch.setattr(costs, "CONFIG", replace(costs.CONFIG, epochs=1, steps_per_epoch=5))
    monkeypatch.setattr(costs, "BASELINES", ("rs",))
    monkeypatch.setattr(costs, "ON_MODELS", ("ofa",))
    monkeypatch.setattr(once_for_all, "GENERATIONS", 2)
    monkeypatch.setattr(problem, "usable", problem.usable[::30])
    rows = list(costs.run(problem, seed=0))
    figure = {(row.method, row.metric): row.value for row in rows}
    assert set(figure) == {(m, metric) for m in ("modnas", "ofa", "lemonade", "rs") for metric in METRICS}
    assert figure["modnas", "searches"] == 1
    assert figure["modnas", "searches_of_a_further_device"] == 0
    assert 60 <= figure["modnas", "trained_networks"] <= 60 + 3 * FRONT_SIZE
    assert figure["ofa", "searches"] >= 3 * FRONT_SIZE
    assert figure["lemonade", "searches"] == 3
    assert figure["lemonade", "trained_networks_of_a_further_device"] == FRONT_SIZE
    assert figure["rs", "trained_networks"] <= 3 * FRONT_SIZE
    assert all(row.value >= 0 and row.seconds >= 0 for row in rows)
    assert write_page(tmp_path, "costs", rows, nasbench201.claims("costs", rows), problem).is_file()
