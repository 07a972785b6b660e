"""The report's figures, as Plotly objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from harness.store.metrics import LATENCY, HardwareMetric

FOUND, RANDOM, PREDICTED = "#0b6e99", "#b0b0b0", "#e08e0b"

Entry = dict[str, Any]


def _layout(figure: Any, x: str, y: str) -> Any:
    figure.update_layout(
        template="plotly_white",
        height=420,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        legend={"orientation": "h", "y": 1.08},
        xaxis_title=x,
        yaxis_title=y,
    )
    return figure


def _measured(entries: Sequence[Entry], metric: HardwareMetric) -> list[Entry]:
    return [e for e in entries if e.get("measured", {}).get(metric.key) is not None]


def _axis(metric: HardwareMetric) -> str:
    return f"{metric.name.replace('_', ' ')}, {metric.unit}"


def front_figure(found: Sequence[Entry], randoms: Sequence[Entry], metric: HardwareMetric = LATENCY) -> Any:
    """Error against a metric: the found networks measured and predicted, and the random ones measured."""
    figure = go.Figure()
    for name, entries, colour in (("random, measured", randoms, RANDOM), ("found, measured", found, FOUND)):
        kept = _measured(entries, metric)
        figure.add_scatter(
            x=[e["measured"][metric.key] for e in kept],
            y=[e["measured"]["error"] for e in kept],
            text=[e["arch"] for e in kept],
            mode="markers",
            marker={"size": 10, "color": colour},
            name=name,
        )
    figure.add_scatter(
        x=[e["predicted"][metric.key] for e in found],
        y=[e["predicted"]["error"] for e in found],
        text=[e["arch"] for e in found],
        mode="markers",
        marker={"size": 8, "color": PREDICTED, "symbol": "circle-open"},
        name="found, predicted in the search",
    )
    return _layout(figure, _axis(metric), "error, %")


def agreement_figure(found: Sequence[Entry], metric: HardwareMetric = LATENCY) -> Any:
    """Predicted against measured values, with the measured 10th and 90th percentile where there are such."""
    kept = _measured(found, metric)
    x = np.array([e["predicted"][metric.key] for e in kept])
    y = np.array([e["measured"][metric.key] for e in kept])
    unknown = [np.nan, np.nan]  # a table has one number a network, and so have metrics of a single sample
    interval = f"{metric.name}_interval_{metric.suffix}"
    spread = np.array([e["measured"].get(interval, unknown) for e in kept], np.float64).reshape(-1, 2)
    has_spread = bool(np.isfinite(spread).any())
    figure = go.Figure()
    if len(kept):
        ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
        figure.add_scatter(x=ends, y=ends, mode="lines", line={"color": RANDOM, "dash": "dot"}, name="equal")
    figure.add_scatter(
        x=x,
        y=y,
        text=[e["arch"] for e in kept],
        mode="markers",
        marker={"size": 10, "color": FOUND},
        error_y={"array": spread[:, 1] - y, "arrayminus": y - spread[:, 0], "symmetric": False},
        name="found networks, median with 10th and 90th percentile" if has_spread else "found networks",
    )
    return _layout(figure, f"predicted {_axis(metric)}", f"measured {_axis(metric)}")


def distribution_figure(samples: dict[str, list[float]]) -> Any:
    """Box plots of single latencies in ms, one a network."""
    figure = go.Figure()
    for name, values in samples.items():
        figure.add_box(x=values, name=name, boxpoints=False, marker_color=FOUND, showlegend=False)
    _layout(figure, "latency, ms", "")
    figure.update_layout(height=120 + 28 * max(len(samples), 4), margin={"l": 420})
    return figure


def curves_figure(epochs: Sequence[dict[str, Any]]) -> Any:
    """Hypervolume of each device's predicted front over the epochs."""
    figure = go.Figure()
    epochs = [epoch for epoch in epochs if epoch["hypervolume"]]
    steps = [epoch["epoch"] + 1 for epoch in epochs]
    for device in epochs[0]["hypervolume"] if epochs else ():
        figure.add_scatter(
            x=steps,
            y=[e["hypervolume"][device] for e in epochs],
            mode="lines+markers",
            name=f"hypervolume, {device}",
        )
    return _layout(figure, "epoch", "hypervolume of the predicted front")


def loss_figure(epochs: Sequence[dict[str, Any]]) -> Any:
    """Task loss of the supernetwork and entropy of the architecture distribution over the epochs."""
    figure = go.Figure()
    steps = [epoch["epoch"] + 1 for epoch in epochs]
    figure.add_scatter(x=steps, y=[e["task_loss"] for e in epochs], mode="lines", name="task loss, nats")
    figure.add_scatter(
        x=steps, y=[e["entropy"] for e in epochs], mode="lines", name="entropy, relative to uniform"
    )
    return _layout(figure, "epoch", "")
