"""`benchmark ofa --out`: what is drawn, and in which units."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest

from harness.bench import ofa, ofa_methods, ofa_plots
from harness.bench.ofa_problem import OfaProblem
from harness.bench.rows import Row
from harness.cli import main
from harness.datasets.ofa import load


@pytest.fixture(scope="module")
def problem(data_dir: Path) -> OfaProblem:
    return OfaProblem(load(data_dir))


def points(figure) -> dict[str, np.ndarray]:
    """x and y of each trace of a figure."""
    return {trace.name: np.stack([trace.x, trace.y], axis=1) for trace in figure.data}


def test_published_figures_are_those_of_the_files(problem):
    """Four released networks have names like `v100_gpu64-5ms_top1-71.6_finetune-25`; errors are 100 - top-1.
    `1080ti_gpu64` and the phones are no devices of the tables."""
    title, figure = ofa_plots.published_figure(list(ofa.published(problem, 0)), problem)
    assert "ImageNet top-1" in title
    drawn = points(figure)
    assert set(drawn) == {"HELP: titan_rtx_64", "once-for-all, specialised: v100_64"}
    assert sorted(drawn["once-for-all, specialised: v100_64"].tolist()) == pytest.approx(
        np.array([[5, 28.4], [6, 27.0], [9, 24.7], [11, 23.9]])
    )
    assert drawn["HELP: titan_rtx_64"] == pytest.approx(np.array([[20.3, 24], [23.1, 23.2], [28.6, 22.1]]))


@pytest.fixture
def random_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods that answer with the table's first networks."""

    def answer(name, start):
        def method(problem, seed):
            front = list(problem.tables.architectures[start : start + 5])
            by_device = dict.fromkeys(problem.devices, front)
            return {name: ofa_methods.OfaFronts(by_device, dict.fromkeys(problem.devices, 5), 0.0)}

        return method

    for name, start in (("modnas", 0), ("ofa_help", 5), ("measured_only", 10)):
        monkeypatch.setattr(ofa_methods, name, answer(name, start))


@pytest.mark.usefixtures("random_methods")
def test_fronts_are_drawn_by_the_judge_with_published_networks(problem):
    rows = [*ofa.main(problem, 0), *ofa.main(problem, 1)]
    published = list(ofa.published(problem, 0))
    for device, extra in (("titan_rtx_64", {"HELP's published networks, judged"}), ("v100_64", set())):
        _, figure = ofa_plots.front_figure(rows, published, problem, device)
        drawn = points(figure)
        methods = {"modnas", "ofa_help", "measured_only"}
        assert set(drawn) == {"best of the table, measured", *methods, *extra}
        expected = problem.objectives(device, problem.tables.architectures[:5])
        for latency, error in drawn["modnas"]:
            assert [error, latency] in expected.tolist()
        table = problem.tables
        best = drawn["best of the table, measured"]
        assert best[0, 0] == table.latency_ms[device].min()
        assert best[-1, 1] == problem.error(table.architectures).min()
    judged = drawn_help(rows, published, problem)
    figures = {(r.method, r.metric): r.value for r in published}
    names = dict.fromkeys(row.method for row in published)
    assert judged.tolist() == [[figures[n, "latency_ms"], figures[n, "error"]] for n in names]


def drawn_help(rows, published, problem) -> np.ndarray:
    _, figure = ofa_plots.front_figure(rows, published, problem, "titan_rtx_64")
    return points(figure)["HELP's published networks, judged"]


@pytest.mark.slow
@pytest.mark.usefixtures("random_methods")
def test_one_page_with_all_devices(data_dir, tmp_path, problem, capsys):
    out = tmp_path / "new" / "plots"
    assert main(["benchmark", "ofa", "--data", str(data_dir), "--out", str(out)]) == 0
    assert f"plots: {out}/main.html" in capsys.readouterr().err
    page = html.unescape((out / "main.html").read_text())
    assert all(f"fronts on {device}" in page for device in problem.devices)
    assert "not the model's accuracy" in page and "fine-tuned" in page
    assert "<script src" not in page
    rows = json.loads((out / "main.json").read_text())["rows"]
    of_fronts = [row for row in rows if row["networks"]]
    assert len(of_fronts) == 3 * 12
    for row in of_fronts:
        assert row["metric"] == "hypervolume_ratio"
        front = [problem.space.parse(text) for text in row["networks"]]
        assert row["method"] != "modnas" or front == list(problem.tables.architectures[:5])


def test_every_experiment_has_figures(problem, tmp_path):
    assert set(ofa_plots.FIGURES) == set(ofa.EXPERIMENTS)
    for experiment, metric in (("predictor", "spearman"), ("constraints", "best_error")):
        row = Row(experiment, "some-method", "titan_rtx_64", "unseen", 0, metric, 0.5, None, 1.0)
        page = ofa_plots.write_page(tmp_path, experiment, [row], [], problem).read_text()
        assert "some-method" in page and metric in page
    published = list(ofa.published(problem, 0))
    path = ofa_plots.write_page(tmp_path, "published", published, published, problem)
    page = path.read_text()
    assert path.name == "published.html" and "fronts on titan_rtx_64" in page
    assert "fronts on v100_64" not in page, "HELP publishes no network for it"
