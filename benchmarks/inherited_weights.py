"""Test errors of the largest, the smallest and some random sub-networks of a finished search's supernetwork.

    python benchmarks/inherited_weights.py --run NAME [--random 5]

For runs whose preset evaluates networks with inherited weights (spaces mobilenetv3 and transformer). The
extremes have the first or the last option of every decision.
"""

from __future__ import annotations

import argparse

import torch
from tabulate import tabulate

from harness.runs.evaluation import evaluate_architectures
from harness.runs.run import Run
from harness.runs.search import open_search
from harness.store import Store
from modnas.spaces import Architecture


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, help="name or folder of the run")
    parser.add_argument("--random", type=int, default=5, help="random networks besides")
    arguments = parser.parse_args()
    with Store() as store:
        state = open_search(Run.open(arguments.run), store)
        space = state.space

        def parameters(architecture: Architecture) -> int:
            network = space.network(architecture)
            return sum(parameter.numel() for parameter in network.parameters())

        extremes = [space.architecture([n * (k - 1) for k in space.options]) for n in (0, 1)]
        ranked = sorted(extremes, key=parameters)
        drawn = space.sample(arguments.random, torch.Generator().manual_seed(0))
        named = {"smallest": ranked[0], "largest": ranked[-1]}
        named |= {f"random {n}": architecture for n, architecture in enumerate(drawn, 1)}
        found = evaluate_architectures(state, list(named.values()), store)
        rows = [(name, found[a].error, parameters(a), a.string) for name, a in named.items()]
        print(f"chance {state.task.chance_error:.2f} %")
        print(tabulate(rows, ("network", "test error, %", "parameters", "architecture"), floatfmt=".2f"))


if __name__ == "__main__":
    main()
