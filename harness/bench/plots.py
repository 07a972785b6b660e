"""An experiment as a page of plots that needs no network, after the paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import qualitative

from harness.bench import budgets
from harness.bench.claims import Claim
from harness.bench.costs import METRICS as COST_METRICS
from harness.bench.problem import Floats, Problem
from harness.bench.rows import EPOCH_METRIC, Row
from harness.bench.three_objectives import three_objectives
from harness.report import page
from modnas.search import indicators

# Fronts of the main experiment that are drawn; all would hide one another.
_DRAWN = ("modnas", "modnas-readoff", "rs", "rhpn", "help", "nsga2")
Figure = tuple[str, Any]


def write_page(
    folder: Path, experiment: str, rows: Sequence[Row], claims: Sequence[Claim], problem: Problem
) -> Path:
    """Write `<experiment>.html` with the claims and all figures; its path."""
    return write_figures(folder, experiment, FIGURES[experiment](rows, problem), claims=claims)


def write_figures(
    folder: Path,
    experiment: str,
    figures: Sequence[Figure],
    *,
    notes: Sequence[str] = (),
    claims: Sequence[Claim] = (),
) -> Path:
    """Write `<experiment>.html`: notes and claims, then the figures below their titles; its path."""
    for _, figure in figures:
        figure.update_layout(template="plotly_white", height=460, colorway=qualitative.D3)
    content = {"title": experiment, "notes": notes, "claims": claims, "figures": figures}
    return page.write_page(folder / f"{experiment}.html", "experiment.html.j2", **content)


def _main(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    return [
        *(radar(rows, metric) for metric in ("hypervolume_ratio", "gd", "igd", "gd_plus", "igd_plus")),
        *fronts([row for row in rows if row.method in _DRAWN], problem, problem.unseen_devices),
    ]


def _predictor(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    return [bars(rows, metric) for metric in ("spearman_help", "spearman", "hit_rate", "coverage")]


def _with_curves(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    return [curves(rows), radar(rows, "hypervolume_ratio"), spread(rows, "hypervolume_ratio")]


def _constraints(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    metrics = ("hypervolume_ratio", "mean_error", "best_error")
    return [*(spread(rows, m) for m in metrics), *fronts(rows, problem, problem.unseen_devices)]


def _three(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    three = three_objectives(problem)
    return [bars(rows, "hypervolume_ratio"), *(solid_front(rows, three, d) for d in three.devices)]


def _devices(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    unseen = [row for row in rows if row.group == "unseen"]
    return [spread(unseen, "hypervolume_ratio"), radar(unseen, "hypervolume_ratio")]


def _costs(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    return [bars(rows, metric) for metric in COST_METRICS]


def _budgets(rows: Sequence[Row], problem: Problem) -> list[Figure]:
    kinds = [f"shortfall_{kind}@{total}" for total in budgets.TOTALS for kind in ("mean", "median")]
    return [bars(rows, kind) for kind in (*kinds, "broken")]


FIGURES: dict[str, Callable[[Sequence[Row], Problem], list[Figure]]] = {
    "main": _main,
    "predictor": _predictor,
    "schemes": _with_curves,
    "estimators": _with_curves,
    "constraints": _constraints,
    "three-objectives": _three,
    "device-fraction": _devices,
    "costs": _costs,
    "budgets": _budgets,
}


def radar(rows: Sequence[Row], metric: str) -> Figure:
    """A metric by device, mean over the seeds, one line a method."""
    figure = go.Figure()
    for method, devices in _table(rows, metric).items():
        names = [*devices, next(iter(devices))]  # closed
        means = [float(np.mean(devices[name])) for name in names]
        figure.add_scatterpolar(r=means, theta=names, name=method)
    return f"{metric} by device, mean over seeds", figure


def bars(rows: Sequence[Row], metric: str) -> Figure:
    """A metric by device and method: mean over the seeds, and their smallest and largest."""
    figure = go.Figure()
    for method, devices in _table(rows, metric).items():
        means = np.array([np.mean(values) for values in devices.values()])
        high = np.array([max(values) for values in devices.values()]) - means
        low = means - np.array([min(values) for values in devices.values()])
        figure.add_bar(
            x=list(devices),
            y=means,
            name=method,
            error_y={"array": high, "arrayminus": low, "symmetric": False},
        )
    figure.update_layout(yaxis_title=metric)
    return f"{metric}, mean and range over seeds", figure


def spread(rows: Sequence[Row], metric: str) -> Figure:
    """A metric by method: a box over all devices and seeds."""
    figure = go.Figure()
    for method, devices in _table(rows, metric).items():
        values = [value for of_device in devices.values() for value in of_device]
        figure.add_box(y=values, name=method, boxpoints="all", showlegend=False)
    figure.update_layout(yaxis_title=metric)
    return f"{metric} over devices and seeds", figure


def curves(rows: Sequence[Row]) -> Figure:
    """Hypervolume of the present front after each epoch: mean over devices, and the seeds' range."""
    figure = go.Figure()
    names = sorted({r.metric for r in rows if r.metric.startswith(EPOCH_METRIC)}, key=_epoch)
    epochs = [_epoch(name) for name in names]
    for number, method in enumerate(dict.fromkeys(row.method for row in rows)):
        table = [_by_seed([r for r in rows if r.method == method and r.metric == name]) for name in names]
        colour = qualitative.D3[number % len(qualitative.D3)]
        error = {
            "array": [max(v) - np.mean(v) for v in table],
            "arrayminus": [np.mean(v) - min(v) for v in table],
            "symmetric": False,
        }
        figure.add_scatter(
            x=epochs,
            y=[float(np.mean(v)) for v in table],
            error_y=error,
            name=method,
            line={"color": colour},
        )
    figure.update_layout(xaxis_title="epoch", yaxis_title="hypervolume_ratio")
    return "hypervolume over the epochs, mean over devices, range over seeds", figure


def fronts(rows: Sequence[Row], problem: Problem, devices: Sequence[str]) -> list[Figure]:
    """The first seed's fronts of each device by the true tables, and the exact one."""
    figures = []
    for device in devices:
        figure = go.Figure()
        objectives = problem.objectives(device)
        kept = objectives[objectives[:, 0] < 90]
        exact = kept[indicators.non_dominated(kept)]
        add_front(figure, exact, "exact front", {"color": "black", "shape": "hv"})
        for row in _first_seed(rows, device):
            found = objectives[list(row.cells)]
            add_front(figure, found[indicators.non_dominated(found)], row.method, {"shape": "hv"})
        figure.update_layout(xaxis_title="latency, ms", yaxis_title="error, %")
        figures.append((f"fronts on {device}, first seed", figure))
    return figures


def add_front(figure: Any, points: Floats, name: str, line: dict[str, str]) -> None:
    """Draw points (n, 2), error and latency, as a front."""
    points = points[points[:, 1].argsort()]
    figure.add_scatter(x=points[:, 1], y=points[:, 0], mode="lines+markers", name=name, line=line)


def solid_front(rows: Sequence[Row], problem: Problem, device: str) -> Figure:
    """The first seed's fronts of three objectives."""
    figure = go.Figure()
    objectives = problem.objectives(device)
    kept = objectives[objectives[:, 0] < 90]
    sets = {"exact front": kept[indicators.non_dominated(kept)]}
    sets |= {row.method: objectives[list(row.cells)] for row in _first_seed(rows, device)}
    for name, points in sets.items():
        size = 2 if name == "exact front" else 4
        figure.add_scatter3d(
            x=points[:, 1], y=points[:, 2], z=points[:, 0], mode="markers", marker={"size": size}, name=name
        )
    axes = {"xaxis_title": "latency, ms", "yaxis_title": "energy, mJ", "zaxis_title": "error, %"}
    figure.update_layout(scene=axes)
    return f"fronts on {device}, first seed", figure


def _first_seed(rows: Sequence[Row], device: str) -> list[Row]:
    return [row for row in rows if row.device == device and row.cells and row.seed == 0]


def _epoch(metric: str) -> int:
    return int(metric.removeprefix(EPOCH_METRIC))


def _by_seed(rows: Sequence[Row]) -> list[float]:
    seeds = dict.fromkeys(row.seed for row in rows)
    return [float(np.mean([row.value for row in rows if row.seed == seed])) for seed in seeds]


def _table(rows: Sequence[Row], metric: str) -> dict[str, dict[str, list[float]]]:
    """Values by method and device."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.metric == metric:
            table.setdefault(row.method, {}).setdefault(row.device, []).append(row.value)
    return table
