"""What a long profile keeps in memory: nothing of its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import attack_frames
import pytest
from attack_frames import DEVICE

ROWS, BEFORE = 1000, 400
#: What a row may add. One of these takes 13 KB; what is kept of it and what SQLite keeps of its file, 2 to 3.
MOST_KB_A_ROW = 5.0
PROGRAM = """
import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from attack_frames import write_agent
from model_sources import Models
from torch import nn

import harness
from harness.core.progress import Event, Stage
from harness.measure import session
from modnas.core.inputs import InputSpec

folder, rows, before = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
program = write_agent(folder, "truth")
session.write_archive = lambda *_: program
taken_kb = {}


def watch(event: Event) -> None:
    if isinstance(event, Stage) and event.done in (before, rows) and not event.ended:
        status = Path("/proc/self/status").read_text()
        taken_kb[event.done] = int(status.split("VmRSS:")[1].split()[0])


models = Models({f"m{n}": nn.ReLU() for n in range(rows)}, InputSpec("x", (3,)))
(found,) = harness.profile(models, "fake", progress=watch)
assert found.report.measured == len(found.rows) == rows
at_end = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
print(json.dumps([taken_kb[before], taken_kb[rows], at_end]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "devices").mkdir(parents=True)
    (home / "devices" / "fake.yaml").write_text(DEVICE)
    helpers = Path(attack_frames.__file__).parent
    environment = {name: value for name, value in os.environ.items() if name != "MODNAS_STORE"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(helpers), str(tmp_path), str(ROWS), str(BEFORE)],
        env={**environment, "MODNAS_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before_kb, after_kb, at_end_kb = json.loads(done.stdout)
    assert max(after_kb, at_end_kb) - before_kb < MOST_KB_A_ROW * (ROWS - BEFORE)
