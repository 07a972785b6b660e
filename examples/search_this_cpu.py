"""Searches for the networks that suit this machine's CPU, as `make demo` does: it takes some minutes."""

from __future__ import annotations

import sys

import harness


def show(event: harness.Event) -> None:
    """What there is to say, in words; `harness.Stage` events would make a progress bar."""
    if isinstance(event, harness.Note):
        print(event.text, file=sys.stderr)


def main(preset: str = "quick", seed: str = "0", device: str = "cpu") -> None:
    """Measure, fit, search, verify and report; then print the front."""
    with harness.Study(devices=[device], preset=preset, seed=int(seed), progress=show) as study:
        result = study.run()
    for entry in result["verification"][device]["architectures"]:
        measured = entry["measured"]
        print(f"{entry['arch']}  error {measured['error']:.2f} %, {measured['latency_ms']} ms")
    print(f"report: {result['report']}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
