"""How well the MetaPredictor knows a device it was not fitted on, judged on NAS-Bench-201's search devices.

    python benchmarks/left_out_devices.py --data DIR [--seeds 2]

Each of the 13 devices is left out in turn and predicted from its ten reference cells. The interval score is
the mean width of the 90 % intervals plus 20 times what values lie outside, relative to the range of the
references; smaller is better. Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and
Estimation", 2007, section 6.2. What is chosen about the predictor is chosen by these figures, not by those of
the unseen devices.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from harness.bench.problem import Problem
from harness.datasets import nasbench201
from modnas.prediction import fit_predictor, metrics
from modnas.prediction.meta import Prediction

NAMES = ("Spearman", "within 10 %", "inside the 90 % interval", "interval score")


def interval_score(guess: Prediction, true: NDArray[np.float64]) -> float:
    """Mean interval score of 90 % intervals, in the unit of the values; smaller is better."""
    outside = np.clip(guess.lower - true, 0, None) + np.clip(true - guess.upper, 0, None)
    return float(np.mean(guess.upper - guess.lower + 2 / 0.1 * outside))


def judge(problem: Problem, device: str, seed: int) -> tuple[float, ...]:
    """The figures called NAMES of one device, predicted from the other search devices."""
    others = [problem.known(other) for other in problem.search_devices if other != device]
    references, true = problem.references(device), problem.tables.latency_ms[device]
    guess = fit_predictor(problem.space, others, seed=seed).predict(problem.cells, references)
    return (
        metrics.spearman(guess.value, true),
        metrics.hit_rate(guess.value, true),
        float(((guess.lower <= true) & (true <= guess.upper)).mean()),
        interval_score(guess, true) / float(np.ptp(references)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nb201/")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    problem = Problem(nasbench201.load(arguments.data))
    rows = []
    for device in problem.search_devices:
        found = [judge(problem, device, seed) for seed in range(arguments.seeds)]
        rows.append([device, *map(fmean, zip(*found, strict=True))])
        print(tabulate(rows[-1:], floatfmt=".3f", tablefmt="plain"), flush=True)
    columns = list(zip(*rows, strict=True))[1:]
    summary = [["mean", *map(fmean, columns)], ["spread", *map(pstdev, columns)]]
    print(tabulate([*rows, *summary], ("left out", *NAMES), floatfmt=".4f"))


if __name__ == "__main__":
    main()
