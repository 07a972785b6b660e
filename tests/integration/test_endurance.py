"""The endurance run of `benchmarks/`, a short one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "endurance.py"


@pytest.mark.slow
def test_a_profile_outlives_kills_of_agents_and_hosts() -> None:
    options = ["--minutes", "0.5", "--pause", "0.15", "--settle", "10", "--host-kills", "2"]
    done = subprocess.run([sys.executable, PROGRAM, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["wrong"] == [] and figures["killed"]["hosts"] == 2
    assert figures["rows"] == 3 * figures["networks"] == 3 * 200
