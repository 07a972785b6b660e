"""How well latencies repeat over two sessions in separate processes and different orders.

    python benchmarks/repeatability.py [--archs 100] [--disturb]

Random cells of the published size (C = 16, N = 5, 32x32), each session into a fresh store. `--disturb`: in
the second session a busy loop runs on the other CPUs, eight seconds on, eight off.
"""

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from profile_command import profile
from scipy.stats import kendalltau

BURST_S = 8.0


def disturb(cpu: int) -> None:
    """Keep one CPU busy in bursts, for ever."""
    os.sched_setaffinity(0, {cpu})
    while True:
        end = time.monotonic() + BURST_S
        while time.monotonic() < end:
            pass
        time.sleep(BURST_S)


@contextlib.contextmanager
def disturbance() -> Iterator[None]:
    """Busy loops on every CPU but the one that is measured on, the highest-numbered."""
    cpus = sorted(os.sched_getaffinity(0))[:-1]
    loops = [multiprocessing.Process(target=disturb, args=(cpu,), daemon=True) for cpu in cpus]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--archs", type=int, default=100)
    parser.add_argument("--disturb", action="store_true")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        first = profile(home, "--archs", str(arguments.archs), store="first.sqlite")
        cells = home / "cells.txt"
        cells.write_text("\n".join(m["arch"] for m in first["measurements"]) + "\n")
        with disturbance() if arguments.disturb else contextlib.nullcontext():
            second = profile(home, "--archs", str(cells), "--seed", "1", store="second.sqlite")

    before, after = (
        np.array([m["latency_ms"]["median"] for m in session["measurements"]]) for session in (first, second)
    )
    print(f"Kendall tau {kendalltau(before, after).statistic:.4f}")
    print(f"median relative difference {np.median(np.abs(after / before - 1)):.2%}")
    for name, session in (("first", first), ("second", second)):
        warned = sum(bool(m["warnings"]) for m in session["measurements"])
        print(f"{name} session: {session['repeated']} measured again, {warned} left with warnings")
        for block in session["blocks"]:
            if block["again"]:
                print(f"  block {block['number']}: anchor {block['drift']:+.1%}, {block['again']} again")


if __name__ == "__main__":
    main()
