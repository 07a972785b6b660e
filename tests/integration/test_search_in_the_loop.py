"""A search that measures while it runs, on a device measured for real and on a table; killed, continued."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from integration_home import TINY, Home

from harness.store import Store
from modnas.spaces import get_space

pytestmark = [pytest.mark.trains, pytest.mark.slow]

OPTIONS = ("--preset", "tiny", "--measure", "5", "--no-verify", "--run")
# Dies when the second network of the second round is measured, as by kill -9.
DIE_WHILE_MEASURING = """
import os, signal
from harness.store import Store
from harness.measure import side_by_side
keep, rounds, rows = Store.add, [0], [0]
measure = side_by_side.measure_each
def counting(*arguments, **options):
    rounds[0] += 1
    return measure(*arguments, **options)
def dying(self, row):
    keep(self, row)
    rows[0] += rounds[0] == 2
    if rows[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
import harness.runs.in_the_loop
harness.runs.in_the_loop.measure_each = counting
Store.add = dying
"""
# Dies in the epoch after a round.
DIE_IN_EPOCH = """
import os, signal
from modnas.search import Search
step = Search._lower_step
def dying(self, batch):
    step(self, batch)
    if self.epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Search._lower_step = dying
"""


def import_table(home: Home, folder: Path) -> None:
    """A table device `tab` with every cell whose first operator does something."""
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    cells = dict.fromkeys([*space.references, *space.sample(700, torch.Generator().manual_seed(0))])
    lines = [f"{c.string},{1 + sum(n * o for n, o in enumerate(c.choices, 1)) / 9}\n" for c in cells]
    file = folder / "table.csv"
    file.write_text("arch,value\n" + "".join(lines))
    home.run("dataset", "import", str(file), "--device", "tab", *TINY)


def killed(home: Home, before: str, *arguments: str) -> None:
    process = home.start(*arguments, before=before)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, errors


def stored(home: Home) -> dict[int, str]:
    """Architectures of all rows, by the rows' numbers."""
    with Store() as store:
        variant = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8)).variant
        return {row.id: row.arch for row in store.device_measurements("quick", "nasbench201", variant)}


def documents(home: Home, run: str) -> list[Any]:
    folder = home.folder / "runs" / run
    return [json.loads((folder / name).read_text()) for name in ("front.json", "in-the-loop.json")]


def test_a_device_measures_nothing_twice_though_the_search_was_killed(home: Home) -> None:
    search = ("search", "--devices", "quick", *OPTIONS, "mine")
    killed(home, DIE_WHILE_MEASURING, *search)
    first = json.loads((home.folder / "runs" / "mine" / "in-the-loop.json").read_text())
    assert len(first) == 1, "the first round is kept"
    before = stored(home)
    home.run(*search)
    front, rounds = documents(home, "mine")
    assert rounds[:1] == first and front["in_the_loop"] == rounds
    networks = [one for done in rounds for one in done["devices"]["quick"]["networks"]]
    assert len({one["arch"] for one in networks}) == len(networks) == 5
    assert all(one["measured"]["latency_ms"] > 0 for one in networks)
    again = {arch for number, arch in stored(home).items() if number not in before}
    assert again and not again & set(before.values())
    sent = {one["arch"].partition(":")[2] for one in networks}
    assert again <= sent <= again | set(before.values())


def test_a_killed_search_on_a_table_comes_to_the_same_front(home: Home, tmp_path: Path) -> None:
    import_table(home, tmp_path)
    search = ("search", "--devices", "tab", *OPTIONS)
    home.run(*search, "whole")
    killed(home, DIE_IN_EPOCH, *search, "mine")
    assert not (home.folder / "runs" / "mine" / "front.json").exists()
    home.run(*search, "mine")
    assert documents(home, "mine") == documents(home, "whole")
    assert len(documents(home, "mine")[1]) == 3
