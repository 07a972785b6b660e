"""How well `modnas-hw profile` agrees with a plain ONNX Runtime loop, and how fast it is.

    python benchmarks/profile_agreement.py [--archs 100] [--cells 20]

Profiles the cells at the benchmark's size (C = 16, N = 5, 32x32) into a fresh home, picks `--cells` of them
evenly over the range of latencies, and times each in `plain_loop.py`, a separate process. Prints one line a
cell, then how many agree within 3 % and how many architectures a second were profiled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PLAIN_LOOP = Path(__file__).with_name("plain_loop.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--archs", type=int, default=100)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "MODNAS_HOME": home}
        command = ["modnas-hw", "profile", "--device", "cpu", "--space", "nasbench201", "--json"]
        command += ["--archs", str(arguments.archs), "--seed", str(arguments.seed)]
        command[0] = str(Path(sys.executable).with_name("modnas-hw"))
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        document = json.loads(done.stdout)
        measured = sorted(document["measurements"], key=lambda m: m["latency_ms"]["median"])
        step = (len(measured) - 1) / (arguments.cells - 1)
        chosen = [measured[round(i * step)] for i in range(arguments.cells)]

        close = 0
        for entry in chosen:
            path = Path(home) / "artifacts" / f"{entry['artifact_sha256']}.onnx"
            plain_ms = float(subprocess.check_output([sys.executable, str(PLAIN_LOOP), str(path)], text=True))
            ratio = entry["latency_ms"]["median"] / plain_ms
            close += abs(ratio - 1) <= 0.03
            print(f"{entry['latency_ms']['median']:8.4f} ms  plain {plain_ms:8.4f} ms  ratio {ratio:.4f}")
    print(f"{close} of {len(chosen)} within 3 %")
    print(f"{document['measured'] / document['seconds']:.2f} architectures/s, export included")


if __name__ == "__main__":
    main()
