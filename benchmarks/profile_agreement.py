"""How well `modnas-hw profile` agrees with a plain ONNX Runtime loop, and how fast it is.

    python benchmarks/profile_agreement.py [--archs 100] [--cells 20] [--rounds 5]

Profiles `--archs` cells of the published size (C = 16, N = 5, 32x32) into a fresh home and picks
`--cells` of them evenly over the range of latencies. Machines drift, so the two are then compared in turn:
round after round each cell is profiled again into a fresh store and timed in `plain_loop.py`, a separate
process. A cell's ratio is the median over the rounds. Prints one line a cell, how many agree within 3 %, how
many of the first profile (minutes before) do, and how many architectures a second that profiled.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from profile_command import profile

PLAIN_LOOP = Path(__file__).with_name("plain_loop.py")


def plain_ms(path: Path) -> float:
    """Median of the plain loop for one model."""
    return float(subprocess.check_output([sys.executable, PLAIN_LOOP, path], text=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--archs", type=int, default=100)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        seed = ["--seed", str(arguments.seed)]
        document = profile(home, "--archs", str(arguments.archs), *seed)
        measured = sorted(document["measurements"], key=lambda m: m["latency_ms"]["median"])
        step = (len(measured) - 1) / (arguments.cells - 1)
        chosen = [measured[round(i * step)] for i in range(arguments.cells)]
        pairs: dict[str, list[tuple[float, float]]] = {entry["arch"]: [] for entry in chosen}
        for number in range(arguments.rounds):
            for entry in chosen:
                cell = home / "cell.txt"
                cell.write_text(entry["arch"] + "\n")
                again = profile(home, "--archs", str(cell), *seed, store=f"{number}.db")["measurements"][0]
                artifact = home / "artifacts" / f"{entry['artifact_sha256']}.onnx"
                pairs[entry["arch"]].append((again["latency_ms"]["median"], plain_ms(artifact)))

    close = early = 0
    for entry in chosen:
        ours, plain = zip(*pairs[entry["arch"]], strict=True)
        ratio = statistics.median(a / b for a, b in pairs[entry["arch"]])
        first = entry["latency_ms"]["median"] / statistics.median(plain)
        close += abs(ratio - 1) <= 0.03
        early += abs(first - 1) <= 0.03
        print(
            f"{statistics.median(ours):8.4f} ms  plain {statistics.median(plain):8.4f} ms  "
            f"ratio {ratio:.4f}  first profile {first:.4f}"
        )
    print(f"{close} of {len(chosen)} within 3 % measured in turn; {early} in the first profile")
    print(f"{document['measured'] / document['seconds']:.2f} architectures/s, export included")


if __name__ == "__main__":
    main()
