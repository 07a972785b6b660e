"""How well the MetaPredictor knows devices it was not fitted on, judged on those that searches may know.

    python benchmarks/left_out_devices.py --data DIR [--table nb201] [--seeds 2] [--every 2]

NAS-Bench-201: each of the 13 search devices is left out in turn. FBNet (`--table fbnet`, with the package in
examples/fbnet installed): each training device of each split is predicted from the others of the split, and
from those of another kind. Each is judged after its ten references, and after ten more that the predictor
chooses of 300. The interval score is the mean width of the 90 % intervals plus 20 times what values lie
outside, relative to the range of the references; smaller is better. Source: Gneiting and Raftery, "Strictly
Proper Scoring Rules, Prediction, and Estimation", 2007, section 6.2. What is chosen about the predictor is
chosen by these figures, not by those of the unseen devices.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from harness.bench.fbnet import Networks
from harness.bench.problem import Problem
from harness.datasets import fbnet, nasbench201
from modnas.prediction import MetaPredictor, fit_predictor, metrics
from modnas.prediction.choosing import candidates, measure_chosen
from modnas.prediction.meta import Prediction, combine
from modnas.spaces import Architecture

FIGURES = ("Spearman", "within 10 %", "inside the 90 % interval", "interval score")
NAMES = [f"{name}, {after}" for after in ("references", "chosen") for name in FIGURES]
KINDS = {
    "gpu": ("1080", "2080", "titan"),
    "cpu": ("gold", "silver"),
    "phone": ("pixel", "essential", "samsung"),
    "simulator": ("eyeriss", "fpga"),
}


class Tables(NamedTuple):
    """One seed's view of the tables: a predictor of each device alone, what is measured, what is judged."""

    alone: Callable[[str], MetaPredictor]
    references: Callable[[str], NDArray[np.float64]]
    values: Callable[[str, Sequence[Architecture]], NDArray[np.float64]]
    candidates: Sequence[Architecture]
    judged: Sequence[Architecture]


class Task(NamedTuple):
    """A device to predict, from which others, and what was left out."""

    device: str
    others: tuple[str, ...]
    left_out: str


def kind(device: str) -> str:
    """The kind of a device; its name where it is alone."""
    return next((name for name, starts in KINDS.items() if device.startswith(starts)), device)


def tasks(groups: Sequence[Sequence[str]], *, kinds: bool) -> Iterator[Task]:
    """Each device of each group from the others, and from those of another kind; none twice."""
    found: set[tuple[str, frozenset[str]]] = set()
    for group in groups:
        for device in group:
            others = tuple(other for other in group if other != device)
            for left_out, some in (
                ("device", others),
                ("kind", tuple(other for other in others if kind(other) != kind(device)) if kinds else ()),
            ):
                if len(some) >= 3 and (device, frozenset(some)) not in found:
                    found.add((device, frozenset(some)))
                    yield Task(device, some, left_out)


def interval_score(guess: Prediction, true: NDArray[np.float64]) -> float:
    """Mean interval score of 90 % intervals, in the unit of the values; smaller is better."""
    outside = np.clip(guess.lower - true, 0, None) + np.clip(true - guess.upper, 0, None)
    return float(np.mean(guess.upper - guess.lower + 2 / 0.1 * outside))


def judge(tables: Tables, task: Task, seed: int) -> list[float]:
    """The figures called NAMES."""
    fitted = combine([tables.alone(other) for other in task.others], seed=seed)
    references, true = tables.references(task.device), tables.values(task.device, tables.judged)

    def measure(some: Sequence[Architecture]) -> dict[Architecture, float]:
        return dict(zip(some, tables.values(task.device, some).tolist(), strict=True))

    chosen = measure_chosen(fitted, references, tables.candidates, measure, 10)
    figures = []
    for further in (None, chosen):
        guess = fitted.predict(tables.judged, references, further)
        figures += [
            metrics.spearman(guess.value, true),
            metrics.hit_rate(guess.value, true),
            float(((guess.lower <= true) & (true <= guess.upper)).mean()),
            interval_score(guess, true) / float(np.ptp(references)),
        ]
    return figures


def nas_bench_201(problem: Problem, seed: int) -> Tables:
    """The cells' tables; all cells are judged."""
    known: dict[str, MetaPredictor] = {}

    def alone(device: str) -> MetaPredictor:
        if device not in known:
            known[device] = fit_predictor(problem.space, [problem.known(device)], seed=seed)
        return known[device]

    def values(device: str, cells: Sequence[Architecture]) -> NDArray[np.float64]:
        return problem.tables.latency_ms[device][problem.indices(cells)]

    return Tables(alone, problem.references, values, candidates(problem.space, seed), problem.cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nb201/ and fbnet/")
    parser.add_argument("--table", choices=("nb201", "fbnet"), default="nb201")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="of the devices left out, only each N-th")
    arguments = parser.parse_args()
    if arguments.table == "nb201":
        problem = Problem(nasbench201.load(arguments.data))
        views = [nas_bench_201(problem, seed) for seed in range(arguments.seeds)]
        wanted = list(tasks([problem.search_devices], kinds=False))
    else:
        loaded = fbnet.load(arguments.data)
        networks = [Networks(loaded, seed) for seed in range(arguments.seeds)]
        views = [
            Tables(n.alone, n.references, n.values, n.candidates, [loaded.architectures[i] for i in n.judged])
            for n in networks
        ]
        wanted = list(tasks([split.train for split in loaded.splits.values()], kinds=True))
    rows = []
    for task in wanted[:: arguments.every]:
        found = [judge(view, task, seed) for seed, view in enumerate(views)]
        rows.append([task.left_out, task.device, *map(fmean, zip(*found, strict=True))])
        print(tabulate(rows[-1:], floatfmt=".3f", tablefmt="plain"), flush=True)
    for left_out in dict.fromkeys(row[0] for row in rows):
        some = [row[2:] for row in rows if row[0] == left_out]
        means = [fmean(column) for column in zip(*some, strict=True)]
        print(tabulate([[left_out, len(some), *means]], ("left out", "tasks", *NAMES), floatfmt=".4f"))


if __name__ == "__main__":
    main()
