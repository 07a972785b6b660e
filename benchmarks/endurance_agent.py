"""An agent that takes its time, measures nothing and writes down what it was asked to measure.

Run by `endurance_host.py`. It answers as `tests/helpers/fake_agent.py` does, and like the real agent it keeps
what it answered: whoever lost the answer asks again, and nothing is measured anew.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

HELPERS = Path(__file__).resolve().parents[1] / "tests" / "helpers"
sys.path.insert(0, str(HELPERS))

from fake_agent import Frame, answers, hello, is_about_the_control  # noqa: E402


def pid_file(folder: Path, device: str) -> Path:
    """Where an agent says which process it is."""
    return folder / f"{device}.pid"


def journal(folder: Path, device: str) -> Path:
    """What an agent measured: a line of request and file, for every network but the control."""
    return folder / f"{device}.journal"


def serve(folder: Path, device: str, pause_s: float) -> None:
    """Greet and answer until stdin ends."""
    pid_file(folder, device).write_text(str(os.getpid()))
    written = journal(folder, device)
    done = set(written.read_text().split()[::2]) if written.exists() else set()
    say(hello())
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        if asked["op"] == "measure" and asked["id"] not in done:
            time.sleep(pause_s)
            if not is_about_the_control(asked):
                with written.open("a") as out:
                    out.write(f"{asked['id']} {asked['artifact']['sha256']}\n")
        for frame in answers(asked):
            say(frame)


def say(frame: Frame) -> None:
    """Send a frame, or end where nobody listens any more."""
    data = json.dumps(frame).encode() + b"\n"
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        os._exit(0)
