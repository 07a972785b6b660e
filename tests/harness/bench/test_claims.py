"""What a benchmark's figures say to the paper's claims, and the page they are shown on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.bench.claims import Claim, claims
from harness.bench.main_experiment import BASELINES, ON_MODELS
from harness.bench.plots import write_page
from harness.bench.problem import Problem
from harness.bench.rows import EPOCH_METRIC, Row
from harness.core.errors import UsageError
from harness.datasets.nasbench201 import load


def rows(
    experiment: str, method: str, values: list[float], metric: str = "hypervolume_ratio", **changes: Any
) -> list[Row]:
    fields = {"device": "raspi4", "group": "unseen", **changes}
    return [
        Row(experiment, method, seed=seed, metric=metric, value=value, evaluations=900, seconds=1.0, **fields)
        for seed, value in enumerate(values)
    ]


def verdicts(experiment: str, given: list[Row]) -> list[str]:
    return [claim.verdict for claim in claims(experiment, given)]


@pytest.mark.parametrize(
    ("reinmax", "gdas", "verdict"),
    [
        ([0.95, 0.96, 0.97], [0.90, 0.91, 0.92], "confirmed"),
        ([0.90, 0.91, 0.92], [0.95, 0.96, 0.97], "contradicted"),
        ([0.95, 0.90, 0.97], [0.93, 0.94, 0.95], "undecided"),
        ([0.95], [0.50], "undecided"),
    ],
)
def test_a_difference_counts_beyond_the_spread_of_the_seeds(
    reinmax: list[float], gdas: list[float], verdict: str
) -> None:
    given = rows("estimators", "reinmax", reinmax) + rows("estimators", "gdas", gdas)
    assert verdicts("estimators", given) == [verdict]


def test_seeds_are_compared_in_pairs() -> None:
    first = rows("estimators", "reinmax", [0.51, 0.711, 0.912])
    second = rows("estimators", "gdas", [0.50, 0.70, 0.90])
    assert verdicts("estimators", first + second) == ["confirmed"], "the seeds' own spread is much larger"


def test_one_device_behind_contradicts() -> None:
    given = []
    for device, best in (("raspi4", 0.9), ("fpga", 0.8)):
        for method in (*BASELINES, "lemonade", *ON_MODELS):
            given += rows("main", method, [0.85, 0.85], device=device)
        given += rows("main", "modnas", [best, best], device=device)
    found = claims("main", given)
    assert {claim.verdict for claim in found} == {"contradicted"}
    assert all("behind on fpga" in claim.figures for claim in found)


def test_costs_are_less_where_modnas_spends_less() -> None:
    given = []
    for method, searches in (("modnas", 1.0), ("lemonade", 19.0), ("ofa", 456.0)):
        given += rows("costs", method, [searches, searches], "searches", device="all", group="all")
        given += rows("costs", method, [searches, 20.0], "trained_networks", device="all", group="all")
    found = {claim.text: claim.verdict for claim in claims("costs", given)}
    assert found["MODNAS needs fewer searches than lemonade"] == "confirmed"
    assert found["MODNAS needs fewer searches than ofa"] == "confirmed"
    assert found["MODNAS trains fewer networks than lemonade"] == "undecided"
    assert not any("help" in text for text in found), "nothing is said of what was not run"


def test_closeness_has_a_margin() -> None:
    few, many = (rows("device-fraction", f"{n} devices", [v]) for n, v in ((2, 0.95), (13, 0.96)))
    assert verdicts("device-fraction", few + many) == ["confirmed"]
    far = rows("device-fraction", "2 devices", [0.90])
    assert verdicts("device-fraction", far + many) == ["contradicted"]
    searched = rows("device-fraction", "2 devices", [0.99], group="search")
    assert verdicts("device-fraction", far + searched + many) == ["contradicted"]


def test_a_smaller_shortfall_under_budgets_is_better() -> None:
    metric, given = "shortfall_mean@40", []
    for suffix in ("", "-surrogate"):
        given += rows("budgets", f"modnas{suffix}", [0.1, 0.2, 0.3], metric)
        for name in ("rs", "nsga2", "re", "ls", "rhpn", "help", "hat", "proxyless", "lemonade"):
            given += rows("budgets", name + suffix, [5.1, 5.2, 5.4], metric)
        given += rows("budgets", f"ofa{suffix}", [0.0, 0.1, 0.21], metric)
        given += rows("budgets", f"ofa{suffix}", [9.0, 9.1, 9.2], "shortfall_mean@20")
    found = {claim.text: claim.verdict for claim in claims("budgets", given)}
    assert {verdict for text, verdict in found.items() if " ofa" not in text} == {"confirmed"}
    assert {verdict for text, verdict in found.items() if " ofa" in text} == {"contradicted"}


PAGES = ["schemes", "constraints", "three-objectives", "device-fraction", "budgets"]


@pytest.mark.parametrize("experiment", PAGES)
def test_page_has_its_plots_and_needs_no_network(experiment: str, data_dir: Path, tmp_path: Path) -> None:
    problem = Problem(load(data_dir))
    given = []
    for number, device in enumerate(problem.unseen_devices):
        front = [problem.cells[i] for i in range(100 * number, 100 * number + 24)]
        cells = tuple(problem.indices(front))
        for method in ("mgd", "<b>mean"):
            given += rows(experiment, method, [0.9, 0.8], device=device, cells=cells)
            for metric in ("mean_error", "best_error", "shortfall_mean@40", "broken"):
                given += rows(experiment, method, [7.0, 8.0], metric, device=device)
            for epoch in (1, 2):
                given += rows(experiment, method, [0.7, 0.8], f"{EPOCH_METRIC}{epoch}", device=device)
    path = write_page(tmp_path / "new", experiment, given, [Claim("a < b", "confirmed", "by 1")], problem)
    page = path.read_text()
    assert path.name == f"{experiment}.html"
    assert page.count("<h2>") >= 2 and page.count("Plotly.newPlot(") == page.count("<h2>")
    assert "a &lt; b" in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)


def test_only_two_devices_have_energy(data_dir: Path) -> None:
    with pytest.raises(UsageError, match="no energy of raspi4"):
        Problem(load(data_dir), ("latency", "energy"), ["eyeriss", "raspi4"], [])
    three = Problem(load(data_dir), ("latency", "energy"), ["eyeriss", "fpga"], [])
    assert three.objectives("fpga").shape == (15625, 3)
    exact = [int(i) for i in range(15625)]
    assert three.hypervolume_ratio("fpga", [three.cells[i] for i in exact]) == pytest.approx(1)
