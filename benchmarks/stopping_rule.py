"""What the slack of the stopping rule is worth: recorded series, replayed with and without it.

    python benchmarks/stopping_rule.py [--cells 40]

Records three seconds of single inferences of random cells of the published size under ONNX Runtime, each in a
process of its own. Measurements are then replayed from three places in every series; the median of all three
seconds stands for the truth.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from modnas_agent.backends import load_backend
from modnas_agent.timing import sampling
from modnas_agent.timing.stats import Interval, median_interval
from modnas_agent.wire.request import InputSpec, Timing

from harness.export import Artifact, ArtifactCache
from modnas.spaces.nasbench201 import NasBench201

RECORDED_S = 3.0
#: Where in a series a measurement begins, after a warm-up.
BEGINNINGS_S = (0.1, 0.6, 1.0)
Rule = Callable[[Sequence[float], Timing], Interval | None]


def record(artifact: Artifact) -> list[int]:
    """Durations in ns of successive calls on the highest-numbered CPU."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    inputs = [InputSpec(spec.name, spec.shape, spec.dtype, spec.range) for spec in artifact.inputs]
    runner = load_backend("onnxruntime").load(artifact.path, inputs, {"threads": 1})
    durations = []
    end = time.perf_counter() + RECORDED_S
    while time.perf_counter() < end:
        begin = time.perf_counter_ns()
        runner.run()
        durations.append(time.perf_counter_ns() - begin)
    return durations


def replay(durations: Sequence[int], beginning_s: float, rule: Rule) -> sampling.Series:
    """A measurement of these calls, on their clock."""
    first = int(np.searchsorted(np.cumsum(durations), beginning_s * 1e9))
    waiting, now_ns = iter(durations[first:]), 0

    def run() -> None:
        nonlocal now_ns
        now_ns += next(waiting)

    sampling._interval = rule
    call_ns = float(np.median(durations[max(0, first - 50) : first]))
    return sampling.sample(run, call_ns, Timing(max_time_s=1.5), lambda *_: None, lambda: now_ns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=40)
    arguments = parser.parse_args()

    space = NasBench201()
    cells = space.sample(arguments.cells, torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        cache = ArtifactCache(Path(folder))
        files = [cache.get(space, cell, 1) for cell in cells]
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            recorded = pool.map(record, files, chunksize=1)

    rules: dict[str, Rule] = {
        "without": lambda samples, _timing: median_interval(samples),
        "with": sampling._interval,
    }
    for name, rule in rules.items():
        times, errors, precise, held = [], [], 0, 0
        for durations in recorded:
            truth_ms = float(np.median(durations)) / 1e6
            for beginning_s in BEGINNINGS_S:
                series = replay(durations, beginning_s, rule)
                times.append(series.elapsed_s)
                errors.append(float(np.median(series.samples_ms)) / truth_ms - 1)
                precise += series.ended_by == "precision"
                interval = series.interval
                held += interval is not None and interval.low <= truth_ms <= interval.high
        print(
            f"{name} slack: {np.mean(times):.3f} s a measurement, {precise / len(times):.0%} precise, "
            f"the interval holds the truth in {held / len(times):.0%}, "
            f"root mean square error {np.sqrt(np.mean(np.square(errors))):.2%}"
        )


if __name__ == "__main__":
    main()
