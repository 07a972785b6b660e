"""`benchmark ofa --out`: an experiment as a page of plots, with published networks as points.

Points are drawn in two units that do not mix: error by the accuracy model against judged latency, where a
network's description is known, and as published, ImageNet error against the authors' own latency.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from harness.bench.ofa_judge import Floats
from harness.bench.ofa_problem import OfaProblem
from harness.bench.plots import Figure, add_front, bars, radar, spread, write_figures
from harness.bench.rows import Row
from modnas.search import indicators

_FRONTS = (
    "Fronts and HELP's points: error by once-for-all's accuracy model, about 4 points below ImageNet's; "
    "latency by the judge, a model of the device's table. The table's own best networks are as measured."
)
_PUBLISHED = (
    "Published figures: error on ImageNet (100 - top-1) and latency as the authors give them. They are not "
    "the model's errors and not the judge's latencies, so that they do not compare with the fronts. Those "
    "of once-for-all's specialised networks are of fine-tuned weights and come without a description of the "
    "networks, which are points in the last plot alone."
)


def write_page(
    folder: Path, experiment: str, rows: Sequence[Row], published: Sequence[Row], problem: OfaProblem
) -> Path:
    """Write `<experiment>.html`; its path. `published`: rows of the experiment `published`."""
    notes = (_FRONTS, _PUBLISHED) if experiment in ("main", "published") else ()
    return write_figures(folder, experiment, FIGURES[experiment](rows, published, problem), notes=notes)


def _main(rows: Sequence[Row], published: Sequence[Row], problem: OfaProblem) -> list[Figure]:
    devices = [*problem.unseen_devices, *problem.search_devices]
    return [
        *(radar(rows, metric) for metric in ("hypervolume", "hypervolume_ratio")),
        *(front_figure(rows, published, problem, device) for device in devices),
        published_figure(published, problem),
    ]


def _published(rows: Sequence[Row], published: Sequence[Row], problem: OfaProblem) -> list[Figure]:
    devices = dict.fromkeys(row.device for row in published)
    return [
        *(front_figure(rows, published, problem, d) for d in devices),
        published_figure(published, problem),
    ]


def _predictor(rows: Sequence[Row], published: Sequence[Row], problem: OfaProblem) -> list[Figure]:
    return [bars(rows, metric) for metric in ("spearman", "hit_rate", "mean_relative_error")]


def _constraints(rows: Sequence[Row], published: Sequence[Row], problem: OfaProblem) -> list[Figure]:
    return [spread(rows, metric) for metric in ("hypervolume", "mean_error", "best_error")]


FIGURES: dict[str, Callable[[Sequence[Row], Sequence[Row], OfaProblem], list[Figure]]] = {
    "main": _main,
    "predictor": _predictor,
    "constraints": _constraints,
    "published": _published,
}


def front_figure(rows: Sequence[Row], published: Sequence[Row], problem: OfaProblem, device: str) -> Figure:
    """The first seed's fronts of a device, the best of its table, and HELP's published networks for it."""
    figure = go.Figure()
    tables = problem.tables
    known = np.stack([problem.error(tables.architectures), tables.latency_ms[device]], axis=1)
    best = known[indicators.non_dominated(known)]
    add_front(figure, best, "best of the table, measured", {"color": "black", "shape": "hv"})
    for row in rows:
        if row.device == device and row.networks and row.seed == 0:
            found = problem.objectives(device, [problem.space.parse(text) for text in row.networks])
            add_front(figure, found[indicators.non_dominated(found)], row.method, {"shape": "hv"})
    points = _points(published, device, "latency_ms", "error")
    if len(points):
        _add_points(figure, points, "HELP's published networks, judged", "star")
    figure.update_layout(xaxis_title="latency, ms", yaxis_title="error by the accuracy model, %")
    return f"fronts on {device}, first seed", figure


def published_figure(published: Sequence[Row], problem: OfaProblem) -> Figure:
    """Published networks of devices of the tables, in published units; a device that is not there is left
    out."""
    figure = go.Figure()
    for device in problem.devices:
        for authors, points, symbol in (
            ("HELP", _points(published, device, "published_latency_ms", "imagenet_error"), "star"),
            ("once-for-all, specialised", _specialised(problem, device), "diamond"),
        ):
            if len(points):
                _add_points(figure, points, f"{authors}: {device}", symbol)
    figure.update_layout(xaxis_title="published latency, ms", yaxis_title="ImageNet error, %")
    return "published networks, as published: ImageNet top-1, not the model's accuracy", figure


def _points(published: Sequence[Row], device: str, latency: str, error: str) -> Floats:
    """Two metrics of a device's published networks, (n, 2): latency, error."""
    of_device = [row for row in published if row.device == device]
    columns = [[row.value for row in of_device if row.metric == metric] for metric in (latency, error)]
    return np.array(columns).T


def _specialised(problem: OfaProblem, device: str) -> Floats:
    """Once-for-all's networks for exactly this device, (n, 2): published latency, ImageNet error.

    Its `v100_gpu64` is `v100_64` here: a GPU at batch size 64.
    """
    nets = problem.tables.reference["published_ofa_specialized_nets"]
    found = [net for net in nets if net["device"].replace("_gpu", "_") == device]
    return np.array([[net["latency_ms"], 100 - net["imagenet_top1"]] for net in found]).reshape(-1, 2)


def _add_points(figure: Any, points: Floats, name: str, symbol: str) -> None:
    marker = {"symbol": symbol, "size": 11}
    figure.add_scatter(x=points[:, 0], y=points[:, 1], mode="markers", marker=marker, name=name)
