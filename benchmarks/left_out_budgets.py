"""How well latency budgets are answered on devices that a search may know, each left out in turn.

    python benchmarks/left_out_budgets.py --data DIR [--seeds 1] [--devices pixel3,samsung_s7]

As `benchmark nasbench201 --experiment budgets` with errors from the table, but of the 13 search devices: each
is measured for its budgets with a predictor fitted on the twelve others. What is chosen about
`modnas/search/measuring.py` is chosen by these figures, not by those of the unseen devices.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from harness.bench import budgets
from harness.bench.budget_tasks import BudgetTask
from harness.bench.modnas_method import fit_on
from harness.bench.problem import Floats, Problem
from harness.datasets.nasbench201 import load
from modnas.prediction.meta import combine


def shortfalls(problem: Problem, devices: list[str], seed: int) -> Iterator[tuple[str, int, Floats]]:
    """Device, measurements in all, and points below the best of the table under each budget."""
    alone = {device: fit_on(problem, [device], "latency", seed) for device in problem.search_devices}
    for device in devices:
        others = [alone[name] for name in problem.search_devices if name != device]
        task = BudgetTask(problem, device, problem.error(problem.cells))
        measured = budgets.modnas(combine(others, seed=seed), task, seed)
        for total in budgets.TOTALS:
            yield device, total, task.shortfalls(measured[total])


def main() -> None:
    """Print mean and median of each device, and of all budgets together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nb201/")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--devices", help="search devices to leave out; all unless given")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    problem = Problem(load(asked.data))
    devices = asked.devices.split(",") if asked.devices else problem.search_devices
    found: dict[str, dict[int, list[Floats]]] = {}
    for seed in range(asked.seeds):
        for device, total, values in shortfalls(problem, devices, seed):
            for name in (device, budgets.ALL):
                found.setdefault(name, {}).setdefault(total, []).append(values)
    rows = []
    for name in [*devices, budgets.ALL]:
        together = [np.concatenate(found[name][total]) for total in budgets.TOTALS]
        rows.append([name, *(figure(values) for values in together for figure in (np.mean, np.median))])
    heads = [f"{kind} @{total}" for total in budgets.TOTALS for kind in ("mean", "median")]
    print(tabulate(rows, headers=["device", *heads], floatfmt=".3f"))


if __name__ == "__main__":
    main()
