"""Latencies of 900 NAS-Bench-201 cells on this machine with each runtime, as a training set that can ship.

    python benchmarks/measure_runtimes.py OUT.npz --home FOLDER [--archs 900] [--devices NAME,...]

Every runtime, number of threads and batch size is a device (`PROFILES`); the cells are the ten references and
the same random ones on each, of the published size (C = 16, N = 5, 32x32). What was measured stays in the
home, so that the command goes on where it was interrupted. ONNX Runtime takes about six minutes a device on
two quiet cores; PyTorch and TVM, which build each network for longer than they measure it, take longer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml
from profile_command import MODNAS_HW

# Profiles by name; a batch beside 1 becomes part of a device's name.
PROFILES: dict[str, dict[str, Any]] = {
    "onnxruntime-1": {"backend": "onnxruntime", "options": {"threads": 1}},
    "onnxruntime-2": {"backend": "onnxruntime", "options": {"threads": 2}},
    "onnxruntime-1-b8": {"backend": "onnxruntime", "options": {"threads": 1}, "batch": 8},
    "onnxruntime-2-b8": {"backend": "onnxruntime", "options": {"threads": 2}, "batch": 8},
    "torch-1": {"backend": "torch", "options": {"threads": 1}},
    "tvm": {"backend": "tvm"},
}


def modnas_hw(home: Path, *words: str) -> str:
    """What a command prints."""
    environment = {**os.environ, "MODNAS_HOME": str(home)}
    environment.pop("MODNAS_STORE", None)
    return subprocess.run(
        [MODNAS_HW, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def measure(home: Path, name: str, archs: str) -> str:
    """Measure one device; its id."""
    path = home / "devices" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"name": name, **PROFILES[name]}))
    for which in ("reference", archs):
        began = time.monotonic()
        report = json.loads(modnas_hw(home, "profile", "--device", name, "--archs", which, "--json"))
        seconds = time.monotonic() - began
        print(f"{name}, {which}: {report['measured']} measured in {seconds:.0f} s", flush=True)
    batch = PROFILES[name].get("batch", 1)
    return name if batch == 1 else f"{name}@{batch}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--archs", default="900")
    parser.add_argument("--devices", default=",".join(PROFILES))
    arguments = parser.parse_args()
    ids = [measure(arguments.home, name, arguments.archs) for name in arguments.devices.split(",")]
    chosen = [word for name in ids for word in ("--device", name)]
    print(modnas_hw(arguments.home, "dataset", "build", *chosen, "--out", str(arguments.out)))


if __name__ == "__main__":
    main()
