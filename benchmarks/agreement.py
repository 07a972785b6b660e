"""How well the harness agrees with a plain loop around the runtime, for each backend.

    python benchmarks/agreement.py [--cells 20] [--rounds 3] [--backends onnxruntime,torch,tvm]

Random cells of the published size (C = 16, N = 5, 32x32). Machines drift, so the two are compared in turn:
round after round each cell is profiled into a fresh store and then timed in `plain_loop.py`, a process of its
own. A cell's ratio is the median over the rounds. TVM runs untuned.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from profile_command import profile

PLAIN_LOOP = Path(__file__).with_name("plain_loop.py")
SUFFIXES = {"onnxruntime": "onnx", "torch": "pt2", "tvm": "so"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", default="onnxruntime,torch,tvm")
    arguments = parser.parse_args()
    for backend in arguments.backends.split(","):
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), backend, arguments.cells, arguments.rounds)


def compare(home: Path, backend: str, count: int, rounds: int) -> None:
    first = profile(home, "--archs", str(count), "--backend", backend, store="first.sqlite")
    ratios: dict[str, list[float]] = {entry["arch"]: [] for entry in first["measurements"]}
    for number in range(rounds):
        for entry in first["measurements"]:
            cell = home / "cell.txt"
            cell.write_text(entry["arch"] + "\n")
            ours = profile(home, "--archs", str(cell), "--backend", backend, store=f"{number}.sqlite")
            artifact = home / "artifacts" / f"{entry['artifact_sha256']}.{SUFFIXES[backend]}"
            plain = float(subprocess.check_output([sys.executable, PLAIN_LOOP, artifact], text=True))
            ratios[entry["arch"]].append(ours["measurements"][0]["latency_ms"]["median"] / plain)
    off = sorted(abs(statistics.median(values) - 1) for values in ratios.values())
    print(f"{backend}: median |ratio - 1| {statistics.median(off):.2%}, worst {off[-1]:.2%}", flush=True)


if __name__ == "__main__":
    main()
