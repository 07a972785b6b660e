"""The paper's claims beside an experiment's figures: confirmed, contradicted or undecided on these tables.

A claim that one setting is better than another compares their means over devices, seed by seed: it is
confirmed when the 95 % interval of the mean difference (Student's t) lies on its side of zero, contradicted
when it lies on the other, and undecided otherwise or with one seed only. A claim that something is close
names its margin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from harness.bench import budgets
from harness.bench.ablations import BOUNDS, DEVICE_COUNTS, bound_name, count_name
from harness.bench.main_experiment import BASELINES, ON_MODELS
from harness.bench.predictor_experiment import HELP_SPEARMAN
from harness.bench.rows import EPOCH_METRIC, Row

Verdict = Literal["confirmed", "contradicted", "undecided"]
VOLUME = "hypervolume_ratio"
# What counts as close: this share of the exact front's hypervolume.
CLOSE = 0.02


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, what these tables say to it, and the figures behind that."""

    text: str
    verdict: Verdict
    figures: str


def claims(experiment: str, rows: Sequence[Row]) -> list[Claim]:
    """The claims that belong to an experiment."""
    return list(_CLAIMS[experiment](rows))


def _main(rows: Sequence[Row]) -> Iterator[Claim]:
    run = {row.method for row in rows}
    for name in (name for name in (*BASELINES, "lemonade", *ON_MODELS) if name in run):
        behind = [
            device
            for device in dict.fromkeys(row.device for row in rows)
            if _mean(rows, "modnas", VOLUME, device) <= _mean(rows, name, VOLUME, device)
        ]
        verdict: Verdict = "contradicted" if behind else "confirmed"
        figures = f"behind on {', '.join(behind) or 'none'}"
        yield Claim(f"MODNAS has a larger hypervolume than {name} on every device", verdict, figures)


def _predictor(rows: Sequence[Row]) -> Iterator[Claim]:
    metric = "spearman_help"
    for method in ("gaussian-process", "gcn", "gcn-adapted"):
        ahead = [d for d, value in HELP_SPEARMAN.items() if _mean(rows, method, metric, d) >= value]
        verdict: Verdict = "confirmed" if len(ahead) == len(HELP_SPEARMAN) else "contradicted"
        figures = f"{len(ahead)} of {len(HELP_SPEARMAN)} devices, mean {_mean(rows, method, metric):.4f}"
        yield Claim(f"{method} ranks at least as well as HELP on every device", verdict, figures)


def _schemes(rows: Sequence[Row]) -> Iterator[Claim]:
    for other in ("mean", "sequential", "sample"):
        yield _larger(rows, f"MGD ends with a larger hypervolume than {other}", VOLUME, "mgd", other)
        yield _larger(
            rows, f"MGD has a larger hypervolume than {other} along the way", EPOCH_METRIC, "mgd", other
        )


def _estimators(rows: Sequence[Row]) -> Iterator[Claim]:
    yield _larger(rows, "ReinMax reaches a larger hypervolume than GDAS", VOLUME, "reinmax", "gdas")


def _constraints(rows: Sequence[Row]) -> Iterator[Claim]:
    free, strict = bound_name(None), bound_name(BOUNDS[-1])
    yield _larger(rows, "a bound that leaves only accuracy costs hypervolume", VOLUME, free, strict)
    yield _larger(rows, "a bound gives more accurate sets on average", "mean_error", free, strict)
    yield _larger(rows, "a bound gives a more accurate best architecture", "best_error", free, strict)


def _three(rows: Sequence[Row]) -> Iterator[Claim]:
    for method in ("modnas-readoff", "modnas"):
        value = _mean(rows, method, VOLUME)
        verdict: Verdict = "confirmed" if value >= 1 - CLOSE else "contradicted"
        text = f"with three objectives {method} is close to the exact front ({CLOSE:.0%} of its hypervolume)"
        yield Claim(text, verdict, f"mean ratio {value:.4f}")
    for other in ("rs", "rhpn"):
        text = f"with three objectives MODNAS (as read off) has a larger hypervolume than {other}"
        yield _larger(rows, text, VOLUME, "modnas-readoff", other)


def _devices(rows: Sequence[Row]) -> Iterator[Claim]:
    unseen = [row for row in rows if row.group == "unseen"]
    few, many = (_mean(unseen, count_name(n), VOLUME) for n in (DEVICE_COUNTS[0], DEVICE_COUNTS[-1]))
    verdict: Verdict = "confirmed" if few >= many - CLOSE else "contradicted"
    text = f"2 search devices generalise to unseen ones: within {CLOSE:.0%} of what 13 reach"
    yield Claim(text, verdict, f"{few:.4f} against {many:.4f}")


def _costs(rows: Sequence[Row]) -> Iterator[Claim]:
    run = {(row.method, row.metric) for row in rows}
    for metric, text in (
        ("searches", "needs fewer searches than"),
        ("trained_networks", "trains fewer networks than"),
        ("seconds_per_device_and_bound", "takes less time a device and bound than"),
    ):
        for other in ("lemonade", "proxyless", "help", "ofa", "hat"):
            if (other, metric) in run:
                yield _larger(rows, f"MODNAS {text} {other}", metric, other, "modnas")


def _budgets(rows: Sequence[Row]) -> Iterator[Claim]:
    total = max(budgets.TOTALS)
    for suffix in ("", budgets.SURROGATE):
        for name in (*budgets.BASELINES, *budgets.DESCRIBED, *budgets.ON_MODELS, budgets.EVOLUTION):
            first, second = name + suffix, "modnas" + suffix
            text = f"after {total} measurements answers of {first} are further from the best than {second}'s"
            yield _larger(rows, text, f"shortfall_mean@{total}", first, second)


_CLAIMS: dict[str, Callable[[Sequence[Row]], Iterator[Claim]]] = {
    "main": _main,
    "predictor": _predictor,
    "schemes": _schemes,
    "estimators": _estimators,
    "constraints": _constraints,
    "three-objectives": _three,
    "device-fraction": _devices,
    "costs": _costs,
    "budgets": _budgets,
}


def _mean(rows: Sequence[Row], method: str, metric: str, device: str | None = None) -> float:
    values = [
        row.value
        for row in rows
        if row.method == method and row.metric == metric and device in (None, row.device)
    ]
    return float(np.mean(values)) if values else float("nan")


def _larger(rows: Sequence[Row], text: str, metric: str, first: str, second: str) -> Claim:
    """The claim that a metric (or a mean over all whose names begin so) is larger for the first method."""
    difference = by_seed(rows, first, metric) - by_seed(rows, second, metric)
    if len(difference) < 2:
        return Claim(text, "undecided", f"difference {float(difference.mean()):+.4f}, one seed")
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5
    half = float(student.ppf(0.975, len(difference) - 1)) * error
    mean = float(difference.mean())
    verdict: Verdict = "confirmed" if mean > half else "contradicted" if mean < -half else "undecided"
    return Claim(text, verdict, f"difference {mean:+.4f} +- {half:.4f} over {len(difference)} seeds")


def by_seed(rows: Sequence[Row], method: str, metric: str) -> NDArray[np.float64]:
    """Means over devices, one a seed. A metric that ends with @ stands for all epochs'."""
    groups: dict[int | None, list[float]] = {}
    for row in rows:
        same = row.metric.startswith(metric) if metric.endswith("@") else row.metric == metric
        if row.method == method and same:
            groups.setdefault(row.seed, []).append(row.value)
    return np.array([np.mean(values) for values in groups.values()])
