"""Runs `modnas-hw profile` in a process of its own, for the benchmarks beside it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

MODNAS_HW = Path(sys.executable).with_name("modnas-hw")


def profile(home: Path, *options: str, store: str = "store.sqlite") -> Any:
    """The JSON document of one `modnas-hw profile --device cpu`, networks of the published size."""
    return json.loads(
        subprocess.run(
            [MODNAS_HW, "profile", "--device", "cpu", "--json", *options],
            env={**os.environ, "MODNAS_HOME": str(home), "MODNAS_STORE": f"sqlite:///{home / store}"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    )
