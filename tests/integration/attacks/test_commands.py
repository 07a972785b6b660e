"""The other commands that listen to an agent, several devices at once, and real processes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from attack_frames import PROFILE, Ended, Lab, check_shown, write_agent
from fake_agent import TRUTH
from integration_home import TINY
from rich.console import Console

from harness.backends import open_exporter
from harness.cli.fleet import _table
from harness.cli.output import progress_bar
from harness.devices.registry import get_profile
from harness.export import ArtifactCache
from harness.export.prefetch import Prefetcher
from harness.measure.control import Control
from harness.measure.fleet import DeviceStatus
from harness.measure.session import DeviceSession
from harness.measure.tuning import _Bench
from harness.report import html
from harness.store import Store
from modnas.spaces import get_space

Attack = Callable[[str], Lab]
CHECK = ["devices", "check", "fake"]
DOCTOR = ["doctor"]
TWO = ["profile", "--device", "fake", "--device", "fake2", "--archs", "1", *TINY]
MANY = ["profile", "--device", "fake", "--archs", "12", *TINY]
FEATURES = ["features", "--device", "fake", *TINY]


@pytest.mark.parametrize(
    ("command", "mode", "code"),
    [
        (CHECK, TRUTH, 0),
        (CHECK, "escapes in the inventory", 0),
        (CHECK, "escapes in the runtime's version", 0),
        (CHECK, "escapes in the sensor's absence", 0),
        (CHECK, "sensors are a number", 3),
        (CHECK, "cpu is a text", 3),
        (CHECK, "sensor is an object", 3),
        (CHECK, "deep inventory", 3),
        (DOCTOR, "escapes in the inventory", 1),
        (DOCTOR, "sensors are objects", 1),
        (DOCTOR, "inventory is a list", 1),
        (FEATURES, "negative median", 1),
        (FEATURES, "unknown event", 3),
        (MANY, "negative median", 1),
        (MANY, "figures in a failure", 1),
        (TWO, "death in escapes", 3),
        (TWO, "refusal in escapes", 3),
        (TWO, "temperature is a text", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_commands(
    attack: Attack, monkeypatch: pytest.MonkeyPatch, command: list[str], mode: str, code: int
) -> None:
    lab = attack(mode)
    monkeypatch.setattr("harness.measure.fleet.BACKOFF_S", (0.05,))
    folder = lab.home / "devices"
    (folder / "fake2.yaml").write_text((folder / "fake.yaml").read_text().replace("fake", "fake2"))
    for form in [["--json"], []] if "escapes" in mode else [["--json"]]:
        ended = lab.run(*command, *form)
        if command is not DOCTOR:  # whose other findings depend on the machine
            assert ended.code == code, ended.errors
    assert all(row["status"] == "error" and row["latency_ms"] is None for row in lab.rows())


@pytest.mark.parametrize("mode", [TRUTH, "negative median", "no latency", "status fine", "p10 above p90"])
def test_a_candidate_of_tuning_is_timed_or_fails(attack: Attack, tmp_path: Path, mode: str) -> None:
    attack(mode)
    library = tmp_path / "candidate.so"
    library.write_bytes(b"a library")
    asked = {"library": str(library), "entry": "main", "shapes": [[1]], "dtypes": ["float32"]}
    profile = get_profile("fake")
    with (
        DeviceSession(profile) as session,
        closing(open_exporter(profile, ArtifactCache())) as exporter,
        Prefetcher(exporter, get_space("nasbench201"), 1, [], parallel=False) as files,
    ):
        answer = _Bench(session, Control(session, files)).answer(asked)
    assert answer == {"seconds": 1.1e-3} if mode == TRUTH else "implausible" in answer["failed"]


def test_words_in_a_report(attack: Attack) -> None:
    lab = attack("escapes in warnings")
    assert lab.run(*PROFILE, "--json").code == 0
    with Store() as store:
        (row,) = store.device_measurements("fake", "nasbench201", "c4n1-1x8x8-10")
    shown = "".join([*map(str, html._provenance(row).values()), *row.record["warnings"]])
    assert "red" in shown and shown.isprintable()


def test_words_are_no_markup() -> None:
    """What rich draws is text: `[/x]` from elsewhere neither ends a style nor the program."""
    word = "[/x] [red]said[/red]"
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=200)
    console.print(_table([DeviceStatus("board", error=word)]))
    with progress_bar("arch") as bar:
        task = bar.add_task("measuring", rate="-", note=word)
        bar.update(task, completed=1)
        console.print(bar.get_renderable())
    assert output.getvalue().count("said[/red]") == 2


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "code"), [("outputs far off", 1), ("nested beyond the stack", 3)])
def test_in_a_process_of_its_own(lab: Lab, tmp_path: Path, mode: str, code: int) -> None:
    program = write_agent(tmp_path, mode)
    run = (
        "import pathlib, sys; from harness.measure import session; from harness.cli import main\n"
        f"session.write_archive = lambda *_: pathlib.Path({str(program)!r})\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", run, *PROFILE, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=os.environ, check=False)
    check_shown(Ended(done.returncode, done.stdout, done.stderr, 0.0))
    assert done.returncode == code, done.stderr
    assert [row["status"] for row in lab.rows()] == {1: ["error"], 3: []}[code]
