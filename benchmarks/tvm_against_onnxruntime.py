"""Latency of NAS-Bench-201 cells under TVM, untuned and tuned, beside ONNX Runtime's.

    python benchmarks/tvm_against_onnxruntime.py [--archs 20] [--trials 16] [--time SECONDS]

Tunes the space for this CPU first, unless that is done (`--time` bounds it; give the same command again to go
on), compiles every cell twice, and then measures each cell three times in alternation: ONNX Runtime, TVM
untuned, TVM tuned; one thread. Prints one line a cell and the medians of the ratios. The size of the networks
is that of the quick preset. What was tuned stays in MODNAS_HOME.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import torch

from harness.backends.tvm_exporter import TvmExporter
from harness.devices.profile import DeviceProfile
from harness.devices.registry import get_profile
from harness.export import Artifact, ArtifactCache
from harness.measure.session import DeviceSession
from harness.measure.tuning import tune
from harness.presets import get_preset
from modnas.spaces import Architecture, Space, get_space

Files = dict[str, Artifact]


def untuned(exporter: TvmExporter, source: Artifact, folder: Path) -> Artifact:
    """The cell compiled without a database."""
    path = folder / f"{source.sha256}.so"
    exporter.compiler.compile(source.path, path, exporter.target, None)
    return dataclasses.replace(source, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def prepare(profile: DeviceProfile, space: Space, cells: list[Architecture], folder: Path) -> list[Files]:
    """Every cell for every runtime."""
    cache = ArtifactCache()
    found = []
    with closing(TvmExporter(cache, profile)) as exporter:
        for cell in cells:
            source = cache.get(space, cell, 1)
            tuned = exporter.get(space, cell, 1)
            found.append(
                {"onnxruntime": source, "untuned": untuned(exporter, source, folder), "tuned": tuned}
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--archs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--time", type=float, default=None, help="seconds of tuning in this call")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    preset = get_preset("nasbench201", "quick")
    side = preset.task_side or 8
    space = get_space("nasbench201", **preset.space, input_shape=(1, side, side))
    plain = get_profile("cpu")
    device = plain.changed("tvm")
    report = tune(
        device,
        space,
        arguments.trials,
        seed=arguments.seed,
        limit_s=arguments.time,
        on_task=lambda name, done: print(f"tuned {name} ({done.left} left)", file=sys.stderr, flush=True),
    )
    print(
        f"{len(report.tasks)} operators, {report.tuned} tuned now in {report.seconds:.0f} s, "
        f"{report.left} left"
    )
    if report.left:
        return 1

    cells = space.sample(arguments.archs, torch.Generator().manual_seed(arguments.seed))
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        files = prepare(device, space, cells, Path(folder))
        print(f"compiled {2 * len(cells)} libraries in {time.perf_counter() - begin:.0f} s")
        ratios: dict[str, list[float]] = {"untuned": [], "tuned": []}
        with DeviceSession(plain) as reference, DeviceSession(device) as compiled:
            for cell, made in zip(cells, files, strict=True):
                latency_ms = {}
                for name, artifact in made.items():
                    session = reference if name == "onnxruntime" else compiled
                    result = session.measure(artifact)
                    if result["status"] != "ok":
                        print(f"{cell}: {name}: {result['reason']}: {result['message']}")
                        return 1
                    latency_ms[name] = result["latency"]["median_ms"]
                for name, values in ratios.items():
                    values.append(latency_ms[name] / latency_ms["onnxruntime"])
                figures = "  ".join(f"{name} {value:.4f} ms" for name, value in latency_ms.items())
                print(f"{figures}  tuned/onnxruntime {ratios['tuned'][-1]:.2f}", flush=True)
    for name, values in ratios.items():
        print(f"{name}: median {statistics.median(values):.2f} times ONNX Runtime's, worst {max(values):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
