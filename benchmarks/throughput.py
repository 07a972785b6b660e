"""Architectures a second, and how much of the time is spent measuring.

    python benchmarks/throughput.py [--archs 500]

Profiles random cells of the published size (C = 16, N = 5, 32x32) at the default precision of 1 % into a
fresh home, export included.
"""

import argparse
import tempfile
from pathlib import Path

from profile_command import profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--archs", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        found = profile(Path(home), "--archs", str(arguments.archs))
    print(f"{found['measured'] / found['seconds']:.2f} architectures/s")
    print(f"{found['window_s'] / found['seconds']:.0%} of the time inside measurement windows")
    print(f"{found['export_s'] / found['seconds']:.0%} exporting; {found['repeated']} measured again")


if __name__ == "__main__":
    main()
