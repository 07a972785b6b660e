"""A home with a device that is measured for real, but quickly, and commands run in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TINY = ["--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"]
#: The policy of the device `quick`: enough for a number, not for a good one.
QUICK_DEVICE = """
name: quick
policy: {precision: 0.3, warmup_s: 0.01, min_time_s: 0.01, max_time_s: 0.05, min_samples: 5}
"""
#: Runs the command line with a preset that takes seconds; %(before)s is run first.
TINY_PRESET = """
import sys
from harness.presets import Preset, Recipe
from modnas.spaces.nasbench201.presets import PRESETS
PRESETS["tiny"] = Preset(
    space={"channels": 4, "cells": 1},
    profile_archs=12,
    batch_size=64,
    task_limit=100,
    search={"epochs": 6, "steps_per_epoch": 1, "smoothing": 10},
    front_size=4,
    recipe=Recipe(epochs=1),
)
%(before)s
from harness.cli import main
sys.exit(main())
"""


class Home:
    """A home folder and the commands that are run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "devices").mkdir(parents=True, exist_ok=True)
        (folder / "devices" / "quick.yaml").write_text(QUICK_DEVICE)

    def start(self, *arguments: str, before: str = "") -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", TINY_PRESET % {"before": before}, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MODNAS_HOME": str(self.folder), "OMP_NUM_THREADS": "1"},
        )

    def run(self, *arguments: str, code: int = 0) -> Any:
        """The JSON document of a command that ends with `code`."""
        process = self.start(*arguments, "--json")
        output, errors = process.communicate(timeout=200)
        assert process.returncode == code, errors
        return json.loads(output)
