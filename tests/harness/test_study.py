"""Everything that the command line does with a search, from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_helpers import FakeAgent

import harness
import harness.devices.registry
import modnas
import modnas.tasks.digits
from harness import Note, Stage, Study
from harness.cli import main
from harness.cli.output import Shown
from harness.core.progress import stage
from harness.runs.run import Run
from modnas.spaces import Space
from modnas.spaces.nasbench201.space import NasBench201

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("fake_agents")


@pytest.fixture
def table(tmp_path: Path, space: Space) -> str:
    """A table device for networks of the preset's size."""
    archs = dict.fromkeys([*space.references, *space.sample(40, torch.Generator().manual_seed(0))])
    file = tmp_path / "table.csv"
    lines = [f"{arch.string},{1 + number % 7}\n" for number, arch in enumerate(archs)]
    file.write_text("arch,value\n" + "".join(lines))
    sizes = ["channels=4", "cells=1", "input=1x8x8"]
    options = [part for size in sizes for part in ("--set", size)]
    assert main(["dataset", "import", str(file), "--device", "tab", *options]) == 0
    return "tab"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often data, spaces and profiles are loaded."""
    found: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        load = getattr(module, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            found[name] += 1
            return load(*arguments, **options)

        monkeypatch.setattr(module, name, counting)

    count(modnas.tasks.digits, "packaged")
    count(NasBench201, "__init__")
    count(harness.devices.registry, "load_profile")
    return found


@pytest.mark.slow
def test_all_of_a_search_and_nothing_is_loaded_twice(
    tiny_preset: str, table: str, loads: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    loads.clear()
    verified: list[str] = []
    with Study(devices=["cpu", table], preset=tiny_preset, name="mine") as study:
        assert not study.folder.exists(), "nothing has begun"
        result = study.run(on_verified=lambda found: verified.append(found["device"]))
    assert loads == {"packaged": 1, "__init__": 1, "load_profile": 1}
    assert capsys.readouterr() == ("", ""), "nothing is printed"
    assert verified == ["cpu", table] == list(result["fronts"]) == list(result["verification"])
    assert "table" in result["verification"][table] and "table" not in result["verification"]["cpu"]
    assert Path(result["report"]).is_file()

    again = ["search", "--devices", f"cpu,{table}", "--preset", tiny_preset, "--run", "mine", "--json"]
    assert main(again) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["run", "data", "report", "fronts", "verification"]
    for entry in document["verification"].values():  # what the second time had not to be done again
        assert entry["trained_now"] == entry["measured_now"] == 0
    counted = {"trained_now", "measured_now", "trainings_reused", "measurements_reused"}
    for results in (document["verification"], result["verification"]):
        for entry in results.values():
            for name in counted:
                entry.pop(name)
    assert document == json.loads(json.dumps(result))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["front", "verify", "report"])
def test_what_a_command_prints_is_what_a_step_returns(
    command: str, tiny_preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Study(preset=tiny_preset) as study:
        study.verify("cpu")
        study.report()
        name = study.folder.name
    options = [] if command == "report" else ["--device", "cpu"]
    capsys.readouterr()
    assert main([command, "--run", name, *options, "--json"]) == 0
    output = capsys.readouterr().out
    with Study.open(name) as study:
        steps: dict[str, Callable[[], Any]] = {
            "front": lambda: study.front("cpu"),
            "verify": lambda: study.verify("cpu"),
            "report": lambda: {"report": str(study.report())},
        }
        assert output == json.dumps(steps[command](), indent=2) + "\n"


@pytest.mark.slow
def test_each_step_does_what_is_missing_and_nothing_twice(
    tiny_preset: str, fake_agents: list[FakeAgent]
) -> None:
    def measured() -> int:
        return sum(frame["op"] == "measure" for agent in fake_agents for frame in agent.requests)

    with Study(preset=tiny_preset) as study:
        figures = study.fit()
        assert set(figures) == {"latency"} and set(figures["latency"]) == {"cpu"}
        before = measured()
        assert before >= 12
        assert study.fit() == figures and study.measure()["cpu"].measured == 0
        fronts = study.search()
        assert study.front("cpu")["architectures"] == fronts["cpu"]
        assert measured() == before
    opened = len(fake_agents)
    with Study(preset=tiny_preset) as study:
        assert study.front("cpu")["architectures"] == fronts["cpu"]
        assert study.report().is_file()
    assert len(fake_agents) == opened, "to read, no device is needed"


@pytest.mark.slow
def test_a_front_of_a_new_study_searches_first(tiny_preset: str) -> None:
    with Study(preset=tiny_preset) as study:
        front = study.front("cpu", preferences=3)
        assert front["architectures"] and study.folder.joinpath("front.json").is_file()


@pytest.mark.slow
def test_devices_that_were_not_searched(tiny_preset: str, table: str) -> None:
    with Study(preset=tiny_preset) as study:
        with pytest.raises(harness.ModnasHwError, match="features --device cpu@2"):
            study.front("cpu@2")
        sized = harness.space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
        (measured,) = harness.profile("reference", "cpu@2", space=sized)
        assert len(measured.rows) == 10
        assert study.front("cpu@2")["architectures"]
        front = study.front(table)
        assert front["table"]["source"] == "table" and front["device"] == table


class StoppedError(Exception):
    """Of a program that shows progress."""


@pytest.mark.slow
def test_an_interrupted_search_comes_to_the_same_front(tiny_preset: str, tmp_path: Path) -> None:
    def stop(event: harness.Event) -> None:
        if isinstance(event, Stage) and event.name == "searching" and event.done == 1 and not event.ended:
            raise StoppedError

    with Study(preset=tiny_preset, name="whole") as whole:
        expected = whole.search()
    with Study(preset=tiny_preset, name="mine", progress=stop) as study:
        for _ in range(2):  # the second begins after the first epoch, where it is stopped again
            with pytest.raises(StoppedError):
                study.search()
        assert Run.open("mine").has("checkpoint.safetensors")
        assert not Run.open("mine").has("front.json")
    with Study.open("mine") as study:
        assert study.search() == expected


@pytest.mark.slow
def test_one_writer_at_a_time(tiny_preset: str) -> None:
    with Study(preset=tiny_preset) as first, Study(preset=tiny_preset) as second:
        first.fit()
        name = first.folder.name
        with Run.open(name).held():
            for step in (second.measure, second.fit, second.search, second.run, first.fit):
                with pytest.raises(harness.InUseError, match=f"run {name} is in use"):
                    step()
        assert second.fit(), "whose turn it is now"


@pytest.mark.slow
def test_a_run_is_held_while_its_study_searches(tiny_preset: str) -> None:
    tried: list[str] = []

    def on_event(event: harness.Event) -> None:
        if isinstance(event, Stage) and event.name == "searching" and not tried:
            with Study(preset=tiny_preset) as other, pytest.raises(harness.InUseError) as refused:
                other.search()
            tried.append(str(refused.value))

    with Study(preset=tiny_preset, progress=on_event) as study:
        study.search()
    assert tried and "is in use" in tried[0]


@pytest.mark.slow
def test_progress(tiny_preset: str) -> None:
    events: list[harness.Event] = []
    with Study(preset=tiny_preset, progress=events.append) as study:
        study.verify("cpu")
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(note.startswith("cpu: measured ") for note in notes)
    assert any(note.startswith("predictor of latency on cpu, held out: ") for note in notes)
    stages = [event for event in events if isinstance(event, Stage)]
    ended = [event for event in stages if event.ended]
    names = ["looking at the data", "measuring on cpu", "searching", "training what was found"]
    assert list(dict.fromkeys(event.name for event in ended)) == [*names[:2], "searching", names[3]]
    (searched,) = (event for event in ended if event.name == "searching")
    assert (searched.unit, searched.done, searched.total) == ("epoch", 2, 2)
    assert all(event.rate is None or event.rate > 0 for event in stages)


def test_a_stage_ends_however_its_block_does() -> None:
    events: list[harness.Event] = []
    with pytest.raises(StoppedError), stage(events.append, "walking", "step", 5) as walking:
        walking.update(2, note="left")
        raise StoppedError
    first, second, last = (event for event in events if isinstance(event, Stage))
    assert (first.done, first.rate, first.total) == (0, None, 5)
    assert (second.done, second.note, second.ended) == (2, "left", False)
    assert (last.done, last.ended) == (2, True)


def test_the_command_line_shows_notes_and_no_bars_where_nobody_looks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Shown()
    with stage(shown, "walking", "step", 5) as walking, stage(shown, "talking", "word"):
        walking.update(2, total=7)
        shown(Note("to the left\x1b[2J\nand on"))
    with stage(shown, "walking", "mile"):
        pass
    assert capsys.readouterr() == ("", "to the left\\x1b[2J\nand on\n")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"space": "nowhere"}, "no space 'nowhere'"),
        ({"task": "dreams"}, "no task 'dreams'"),
        ({"devices": []}, "name at least one device"),
        ({"devices": ["cpu", "cpu"]}, "--devices cpu,cpu: name at least one device, and each once"),
        ({"devices": ["tpu"]}, "no device 'tpu'"),
        ({"preset": "vast"}, "no preset 'vast'"),
        ({"objectives": ["error"]}, "error,latency"),
        ({"constraints": {"latency": 2}}, "latency=0.2"),
        ({"constraints": {"energy": 0.2}}, "no hardware metric"),
        ({"scheme": "sum"}, "one of mgd"),
        ({"weights": "nowhere"}, "--weights .*nowhere: No such file"),
        ({"name": "../mine"}, "run name"),
    ],
)
def test_wrong_arguments(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(harness.UsageError, match=complaint), Study(**{"preset": "quick", **given}) as study:
        assert not study.folder.exists()


def test_constraints_and_devices_may_be_texts(tiny_preset: str) -> None:
    with (
        Study(devices="cpu, cpu@2", preset=tiny_preset, constraints={"latency": 0.2}) as one,
        Study(devices=["cpu", "cpu@2"], preset=tiny_preset, constraints=["latency=0.2"]) as other,
    ):
        assert one.config == other.config and one.folder == other.folder
        assert one.config.settings.search["constraints"] == [0.2]


@pytest.mark.slow
def test_a_run_elsewhere_is_read_and_not_continued(tiny_preset: str, tmp_path: Path) -> None:
    with Study(preset=tiny_preset, name="mine") as study:
        fronts = study.search()
        elsewhere = study.folder.rename(tmp_path / "elsewhere")
    with Study.open(elsewhere) as study:
        assert study.front("cpu")["architectures"] == fronts["cpu"]
        assert study.report().parent == elsewhere
        with pytest.raises(harness.UsageError, match="but not continued"):
            study.search()
    with pytest.raises(harness.UsageError, match="no run 'nobody'"):
        Study.open("nobody")


@pytest.mark.slow
def test_networks(tiny_preset: str, tmp_path: Path) -> None:
    with Study(preset=tiny_preset) as study:
        written = study.networks("cpu", tmp_path / "nets", preferences=2)
        front = study.front("cpu", preferences=2)
    assert [e["arch"] for e in written["networks"]] == [e["arch"] for e in front["architectures"]]
    for entry in written["networks"]:
        assert (tmp_path / "nets" / entry["file"]).stat().st_size > 0 and entry["error"] >= 0


def test_profile_on_one_device_and_on_several(space: Space) -> None:
    (one,) = harness.profile(3, ["cpu"], space=space, sessions=2, energy_model="tdp", tdp_w=10)
    assert (one.device, one.state, len(one.rows)) == ("cpu", "done", 3)
    assert one.report and one.energy_model and len(one.repeatability) == 1
    shown: list[list[str]] = []
    archs = [space.references[0], space.references[1].string]
    several = harness.profile(
        archs,
        ["cpu", "cpu@2", "cpu"],
        space=space,
        on_status=lambda found: shown.append([s.state for s in found]),
    )
    assert [one.device for one in several] == ["cpu", "cpu@2"] and shown[-1] == ["done", "done"]
    assert all([row.arch for row in one.rows] == [a.string for a in space.references[:2]] for one in several)


@pytest.mark.parametrize(
    ("source", "devices", "options", "complaint"),
    [
        (0, "cpu", {}, "at least 1"),
        ([], "cpu", {}, "at least one architecture"),
        (["|nonsense|"], "cpu", {}, "nonsense"),
        ("no-such-file", "cpu", {}, "readable file"),
        (1, [], {}, "at least one device"),
        (1, "tpu", {}, "no device 'tpu'"),
        (1, "cpu", {"space": "nowhere"}, "no space"),
        (1, ["cpu", "cpu@2"], {"per_op": True}, "one --device"),
        (1, "cpu", {"sessions": 0}, "at least 1"),
    ],
)
def test_profile_of_what_is_not_there(
    source: Any, devices: Any, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(modnas.ModnasError, match=complaint) as refused:
        harness.profile(source, devices, **options)
    assert refused.value.exit_code == 2


def test_devices_and_spaces_by_name(table: str) -> None:
    assert harness.device("cpu@2").id == "cpu@2" and harness.device(table).id == table
    assert harness.space("nasbench201", channels=16).name == "nasbench201"
    with pytest.raises(harness.UsageError, match="space nasbench201"):
        harness.space("nasbench201", colours=3)


def test_what_is_public() -> None:
    for package in (harness, modnas):
        assert all(hasattr(package, name) for name in package.__all__)
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match="nothing"):
            package.nothing  # noqa: B018
    code = "import sys, harness, modnas; print('torch' in sys.modules, harness.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False" and done.stdout.split()[1][0].isdigit()


@pytest.mark.slow
def test_the_example_finds_what_the_command_finds(
    tiny_preset: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = (ROOT / "examples" / "search_this_cpu.py").read_text()
    program: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "search_this_cpu.py", "exec"), program)
    program["main"](tiny_preset, "3")
    printed = capsys.readouterr().out
    (run,) = (tmp_path / "home" / "runs").iterdir()
    monkeypatch.setenv("MODNAS_HOME", str(tmp_path / "other"))  # where nothing is known
    assert main(["search", "--devices", "cpu", "--preset", tiny_preset, "--seed", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    other = tmp_path / "other" / "runs" / document["run"]
    assert other.name == run.name
    assert (other / "front.json").read_text() == (run / "front.json").read_text()
    archs = [entry["arch"] for entry in document["fronts"]["cpu"]]
    assert [line.split()[0] for line in printed.splitlines()] == archs


USER_PROGRAM = """
from pathlib import Path

import harness
import modnas


def show(event: harness.Event) -> None:
    if isinstance(event, harness.Note):
        print(event.text)
    else:
        print(event.name, event.done, event.total, event.rate)


def best(device: str) -> tuple[str, float]:
    with harness.Study(devices=[device], constraints={"latency": 0.2}, progress=show) as study:
        entries = study.run(verify=False)["fronts"][device]
        verified = study.verify(device)
        written = study.networks(device, Path("networks"))
    measured: float | None = verified["architectures"][0]["measured"]["latency_ms"]
    reveal_type(written["networks"][0]["file"])
    return entries[0]["arch"], entries[0]["predicted"]["latency_ms"] if measured is None else measured


def fastest(space: modnas.Space) -> list[float | None]:
    return [row.latency_ms for one in harness.profile(3, ["cpu"], space=space) for row in one.rows]


try:
    best(harness.__version__)
except harness.InUseError as error:
    wrong: int = error.exit_code + harness.space("nasbench201").width
    wrong = harness.Study.open("mine").front("cpu")["device"]
"""


@pytest.mark.slow
def test_a_program_is_checked_against_the_package(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USER_PROGRAM)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file",
            str(ROOT / "pyproject.toml"),
            str(program),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(ROOT), str(ROOT / "agents")])},
    )
    found = [line for line in done.stdout.splitlines() if "program.py" in line]
    assert len(found) == 2, done.stdout + done.stderr
    assert 'Revealed type is "str"' in found[0].replace("builtins.str", "str")
    assert 'Incompatible types in assignment (expression has type "str"' in found[1]
