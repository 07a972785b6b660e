"""The command line: one JSON document, one line an error, the exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness_helpers import TINY, FakeAgent, OpenWith, assert_one_line

from harness.agent.client import RefusedError
from harness.agent.frames import Refusal
from harness.cli import main
from harness.core.errors import DeviceUnavailableError
from harness.runs.run import Run
from harness.transport.ssh_errors import HostKeyUnknownError
from modnas.spaces import Space
from modnas.tasks import TaskError

BUSY = Refusal(event="error", reason="busy", message="somebody measures")

ERROR_COMMANDS = {
    "unknown device": ["search", "--devices", "nope"],
    "malformed device": ["profile", "--device", "cpu@0"],
    "unknown option": ["profile", "--device", "cpu", "--nope"],
    "missing option": ["profile"],
    "unknown command": ["bogus"],
    "unknown subcommand": ["devices", "bogus"],
    "not a number": ["profile", "--device", "cpu", "--seed", "x"],
    "no architectures": ["profile", "--device", "cpu", "--archs", "0"],
    "no such file": ["profile", "--device", "cpu", "--archs", "/no/such/file"],
    "unknown space": ["profile", "--device", "cpu", "--space", "nope"],
    "unknown setting": ["profile", "--device", "cpu", "--set", "colour=3"],
    "malformed setting": ["profile", "--device", "cpu", "--set", "channels"],
    "impossible setting": ["profile", "--device", "cpu", "--set", "channels=0"],
    "odd input": ["profile", "--device", "cpu", "--set", "input=3x7x7"],
    "two sides": ["profile", "--device", "cpu", "--set", "input=3x8"],
    "unknown task": ["search", "--devices", "cpu", "--task", "nope"],
    "unknown preset": ["search", "--devices", "cpu", "--preset", "nope"],
    "device twice": ["search", "--devices", "cpu,cpu"],
    "no device": ["search", "--devices", ","],
    "unknown metric": ["features", "--device", "cpu", "--metric", "beauty"],
    "unknown run": ["front", "--run", "nope", "--device", "cpu"],
    "no run to verify": ["verify", "--run", "nope", "--device", "cpu"],
    "no run to report": ["report", "--run", "nope"],
    "no data": ["dataset", "build", *TINY],
    "no data set": ["dataset", "show", *TINY],
    "nothing to train on": ["predictor", "train", *TINY],
    "bad holdout": ["predictor", "evaluate", "--holdout", "2", *TINY],
}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(arguments)
    output, errors = capsys.readouterr()
    return code, output, errors


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """What a command prints with --json, which must be all of its stdout."""
    found, output, errors = run(capsys, *arguments, "--json")
    assert found == code, errors
    assert "Traceback" not in errors
    return json.loads(output)


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize("arguments", ERROR_COMMANDS.values(), ids=ERROR_COMMANDS.keys())
def test_wrong_input_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, output, errors = run(capsys, *arguments)
    assert (code, output) == (2, "")
    assert_one_line(errors)


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize("arguments", ERROR_COMMANDS.values(), ids=ERROR_COMMANDS.keys())
def test_wrong_input_is_one_document_too(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, output, errors = run(capsys, *arguments, "--json")
    assert code == 2
    assert_one_line(errors)
    told = json.loads(output)["error"]
    assert told.keys() == {"code", "message"} and told["message"] == errors[len("error: ") : -1]
    assert told["code"] in ("usage", "unknown-name")


@pytest.mark.parametrize("arguments", [[], ["devices"], ["dataset"], ["predictor"]], ids=str)
def test_help_where_a_command_is_missing(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, output, errors = run(capsys, *arguments)
    assert code == 2 and output == ""
    assert "Usage:" in errors and errors.count("\n") > 5, "help is for reading, not one line"


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = run(capsys, "--help")
    assert code == 0 and "search" in output and errors == ""


def test_malformed_cell_names_file_and_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "cells.txt"
    path.write_text("|none~0|\n")
    code, _, errors = run(capsys, "profile", "--device", "cpu", "--archs", str(path))
    assert code == 2 and f"{path}, line 1" in errors
    assert_one_line(errors)


@pytest.mark.parametrize("command", [["profile", "--device", "bad"], ["search", "--devices", "cpu,bad"]])
def test_broken_profile_names_file_and_field(
    capsys: pytest.CaptureFixture[str], home_folder: Path, command: list[str]
) -> None:
    path = home_folder / "devices" / "bad.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("name: bad\npolicy: {precision: 7}\n")
    code, _, errors = run(capsys, *command)
    assert code == 2 and str(path) in errors and "policy.precision" in errors
    assert_one_line(errors)


@pytest.mark.parametrize(
    "command", [["devices", "list"], ["search", "--devices", "cpu"], ["report", "--run", "x"]]
)
def test_unwritable_home(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("MODNAS_HOME", "/proc/modnas")
    code, _, errors = run(capsys, *command)
    assert code == 2 and "/proc/modnas" in errors
    assert_one_line(errors)


def test_bad_store_url(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODNAS_STORE", "nonsense://user:secret@host")
    code, _, errors = run(capsys, "report", "--run", "x")
    assert code == 2 and "secret" not in errors
    assert_one_line(errors)


@pytest.mark.usefixtures("fake_agents")
@pytest.mark.parametrize(
    "command",
    [["search", "--devices", "cpu,gpu"], ["profile", "--device", "gpu", *TINY], ["devices", "check", "gpu"]],
)
def test_unavailable_device_is_exit_3(
    capsys: pytest.CaptureFixture[str], home_folder: Path, command: list[str]
) -> None:
    code, output, errors = run(capsys, *command)
    assert (code, output) == (3, "") and "device gpu" in errors
    assert_one_line(errors)
    assert not list((home_folder / "runs").glob("*")), "nothing is begun"
    code, output, errors = run(capsys, *command, "--json")
    assert code == 3
    told = {"code": "device-unavailable", "message": errors.splitlines()[-1].removeprefix("error: ")}
    assert json.loads(output) == {"error": told}


@pytest.mark.parametrize(
    "error",
    [HostKeyUnknownError("its key is not known"), RefusedError(BUSY)],
)
@pytest.mark.parametrize("command", [["profile", "--device", "cpu", *TINY], ["devices", "check", "cpu"]])
def test_the_code_of_what_is_wrong_survives_who_passes_it_on(
    capsys: pytest.CaptureFixture[str],
    open_with: OpenWith,
    error: DeviceUnavailableError,
    command: list[str],
) -> None:
    def refuse(_profile: Any) -> Any:
        raise error

    open_with(refuse)
    told = document(capsys, *command, code=3)["error"]
    assert told["code"] == error.code and "device cpu: " in told["message"] and str(error) in told["message"]


def test_traceback_only_with_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("unforeseen\nin two lines")

    monkeypatch.setattr("harness.cli.devices.device_names", fail)
    code, output, errors = run(capsys, "devices", "list")
    assert (code, output) == (1, "") and "unforeseen in two lines" in errors and "--debug" in errors
    assert_one_line(errors)
    code, output, errors = run(capsys, "--debug", "devices", "list")
    assert (code, output) == (1, "") and "Traceback" in errors and "in fail" in errors
    assert errors.splitlines()[-1].startswith("error: ")
    monkeypatch.setenv("MODNAS_DEBUG", "")
    told = document(capsys, "devices", "list", code=1)["error"]
    assert told["code"] == "internal" and "unforeseen in two lines" in told["message"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried "
            "to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity of 4 GiB"),
        OSError(28, "No space left on device", "/full/file"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_this_machine_lacks_is_no_mistake_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("harness.cli.devices.device_names", fail)
    told = document(capsys, "devices", "list", code=1)["error"]
    assert told["code"] == "system" and "Errno" not in told["message"] and "bytes" not in told["message"]
    assert ("memory" in told["message"]) != ("/full/file" in told["message"])


def test_a_message_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = run(capsys, "devices", "show", "x" * 100_000)
    assert code == 2 and len(errors) < 5000 and errors.rstrip().endswith("(modnas-hw devices list)")


def test_interruption(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.devices.device_names", interrupt)
    code, output, errors = run(capsys, "devices", "list")
    assert (code, output) == (130, "") and "interrupted" in errors and "Traceback" not in errors
    told = document(capsys, "devices", "list", code=130)["error"]
    assert told == {"code": "interrupted", "message": "interrupted; what was finished is kept"}


def test_lines_before_the_message_are_in_the_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        error = TaskError("2 files are damaged")
        error.details = ("a.png: cut off", "b.png: no image")
        raise error

    monkeypatch.setattr("harness.cli.devices.device_names", fail)
    told = document(capsys, "devices", "list", code=2)["error"]
    details = ["a.png: cut off", "b.png: no image"]
    assert told == {"code": "task", "message": "2 files are damaged", "details": details}


def test_json_behind_two_dashes_is_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = run(capsys, "devices", "show", "--", "--json")
    assert (code, output) == (2, "") and "no device '--json'" in errors


# Commands that do something.


@pytest.mark.usefixtures("fake_agents")
def test_devices(capsys: pytest.CaptureFixture[str], home_folder: Path) -> None:
    (home_folder / "devices").mkdir(parents=True)
    (home_folder / "devices" / "bad.yaml").write_text("name: [")
    (home_folder / "devices" / "cpu.yaml").write_text("name: cpu\nbatch: 4")
    listed = {row["name"]: row for row in document(capsys, "devices", "list")["devices"]}
    assert listed["cpu"]["source"] == "user" and listed["cpu"]["batch"] == 4
    assert listed["gpu"]["source"] == "shipped"
    assert "bad.yaml" in listed["bad"]["description"] and listed["bad"]["batch"] is None
    shown = document(capsys, "devices", "show", "cpu@8")
    assert shown["batch"] == 8 and shown["policy"]["precision"] == 0.01, "defaults are filled in"
    checked = document(capsys, "devices", "check", "cpu")
    assert checked["name"] == "cpu@4" and checked["runtime_version"] == "1.0"
    for words in (["list"], ["show", "cpu"], ["check", "cpu"]):
        code, output, errors = run(capsys, "devices", *words)
        assert (code, output) == (0, "") and "cpu" in errors, "tables are for people"


@pytest.mark.usefixtures("fake_agents")
def test_doctor(capsys: pytest.CaptureFixture[str], home_folder: Path) -> None:
    found = document(capsys, "doctor")
    assert found["ok"] and {check["name"] for check in found["checks"]} >= {"store", "device cpu", "torch"}
    (home_folder / "store.sqlite").write_text("no database " * 100)
    assert document(capsys, "doctor", code=1)["ok"] is False
    code, output, errors = run(capsys, "doctor")
    assert (code, output) == (1, "") and "FAILED" in errors


@pytest.mark.usefixtures("fake_agents")
def test_profile(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["profile", "--device", "cpu", "--archs", "4", *TINY]
    first = document(capsys, *command)
    assert (first["measured"], first["reused"], first["failed"]) == (4, 0, 0)
    assert first["device"] == "cpu" and first["variant"] == "c4n1-1x8x8-10"
    one = first["measurements"][0]
    assert one["status"] == "ok" and one["arch"].startswith("nasbench201:|") and one["warnings"] == []
    assert set(one["latency_ms"]) == {"median", "p10", "p90", "ci_low", "ci_high", "n"}
    assert "energy_mj" not in one, "what was not measured is absent"
    again = document(capsys, *command)
    assert (again["measured"], again["reused"]) == (0, 4)
    assert again["measurements"] == first["measurements"]
    code, output, errors = run(capsys, *command)
    assert (code, output) == (0, "") and "reused 4" in errors


def test_profile_with_failures_is_exit_1_and_keeps_the_rest(
    capsys: pytest.CaptureFixture[str], open_with: OpenWith
) -> None:
    class Failing(FakeAgent):
        def send(self, frame: Any) -> None:
            if sum(f["op"] == "measure" for f in self.requests) == 1 and frame["op"] == "measure":
                self.failing.add(frame["artifact"]["sha256"])
            super().send(frame)

    open_with(lambda _profile: Failing())
    found = document(capsys, "profile", "--device", "cpu", "--archs", "3", *TINY, code=1)
    assert (found["measured"], found["failed"]) == (3, 1)
    (bad,) = (m for m in found["measurements"] if m["status"] != "ok")
    assert (bad["reason"], bad["message"]) == ("crashed", "it crashed") and "latency_ms" not in bad


@pytest.mark.slow
@pytest.mark.usefixtures("fake_agents")
def test_from_features_to_predictions(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, space: Space
) -> None:
    found = document(capsys, "features", "--device", "cpu", *TINY)
    assert found["references"] == [a.id for a in space.references]
    assert len(found["latency_ms"]) == 10 and min(found["vector"]) == 0 and max(found["vector"]) == 1
    document(capsys, "profile", "--device", "cpu", "--archs", "15", *TINY)
    out = tmp_path / "set.npz"
    built = document(capsys, "dataset", "build", "--out", str(out), *TINY)
    assert built["path"] == str(out) and out.exists()
    assert built["devices"][0]["device"] == "cpu" and built["devices"][0]["architectures"] >= 24
    assert document(capsys, "dataset", "show", "--file", str(out), *TINY) == built
    trained = document(capsys, "predictor", "train", *TINY)
    assert Path(trained["path"]).exists() and "spearman" in trained["holdout"]["cpu"]
    evaluated = document(capsys, "predictor", "evaluate", *TINY)
    assert evaluated["holdout"] == trained["holdout"]
    predicted = document(capsys, "predictor", "predict", "--device", "cpu", *TINY)
    assert predicted["unit"] == "ms" and len(predicted["predictions"]) == 10
    for one, true in zip(predicted["predictions"], found["latency_ms"], strict=True):
        assert one["lower"] <= one["value"] <= one["upper"]
        assert one["value"] == pytest.approx(true, rel=0.2)
    for command in (
        ["features", "--device", "cpu"],
        ["dataset", "show", "--file", str(out)],
        ["predictor", "evaluate"],
        ["predictor", "predict", "--device", "cpu"],
    ):
        code, output, errors = run(capsys, *command, *TINY)
        assert (code, output) == (0, "") and errors


def test_predictions_without_a_predictor(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = run(capsys, "predictor", "predict", "--device", "cpu", *TINY)
    assert code == 2 and output == "" and "predictor train" in errors
    assert_one_line(errors)


@pytest.mark.slow
@pytest.mark.usefixtures("fake_agents")
def test_advice_leads_from_nothing_to_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command that fails says which to run first, and after that one it fails no more for that."""
    wanted, taken = [["predictor", "predict", "--device", "cpu", *TINY]], []
    while wanted:
        code, _, errors = run(capsys, *wanted[-1])
        if code == 0:
            wanted.pop()
            continue
        advice = re.search(r"run modnas-hw (.*?)( for each device)?$", errors.strip())
        assert advice and advice[1] not in taken, errors
        taken.append(advice[1])
        wanted.append(shlex.split(advice[1].replace("NAME", "cpu")))
    assert [command.split()[0] for command in taken] == ["predictor", "features", "profile"]


@pytest.mark.slow
@pytest.mark.usefixtures("fake_agents")
def test_search_front_verify_report(
    capsys: pytest.CaptureFixture[str], home_folder: Path, tiny_preset: str
) -> None:
    command = ["search", "--devices", "cpu,cpu@2", "--preset", tiny_preset, "--run", "mine"]
    found = document(capsys, *command, "--no-verify")
    assert found["run"] == "mine" and set(found["fronts"]) == {"cpu", "cpu@2"}
    assert found["verification"] == {}
    for entry in found["fronts"]["cpu"]:
        assert 0 <= entry["predicted"]["error"] <= 100 and entry["predicted"]["latency_ms"] > 0
        assert sum(entry["preference"]) == pytest.approx(1, abs=1e-5)
    assert Path(found["report"]).read_text().startswith("<!doctype html>")

    front = document(capsys, "front", "--run", "mine", "--device", "cpu")
    assert front["architectures"] == found["fronts"]["cpu"]
    few = document(capsys, "front", "--run", "mine", "--device", "cpu", "--preferences", "2")
    assert {tuple(e["preference"]) for e in few["architectures"]} <= {(0, 1), (1, 0)}

    verified = document(capsys, "verify", "--run", "mine", "--device", "cpu")
    assert [e["arch"] for e in verified["architectures"]] == [e["arch"] for e in front["architectures"]]
    for entry in verified["architectures"]:
        assert entry["measured"]["latency_ms"] > 0 and 0 <= entry["measured"]["error"] <= 100
    assert set(verified["hypervolume"]) == {"front", "random"}
    assert Run.open("mine").read_json("verification.json") == {"cpu": verified}

    again = document(capsys, *command)
    assert again["fronts"] == found["fronts"], "a finished search is not searched again"
    assert again["verification"]["cpu"]["trained_now"] == 0
    assert again["verification"]["cpu"]["measured_now"] == 0
    assert document(capsys, "report", "--run", "mine")["report"] == found["report"]
    assert "Not verified" not in Path(found["report"]).read_text()

    code, _, errors = run(capsys, *command, "--seed", "1")
    assert code == 2 and "other settings" in errors
    assert_one_line(errors)
    code, output, errors = run(capsys, "front", "--run", "mine", "--device", "cpu")
    assert (code, output) == (0, "") and "architecture" in errors


@pytest.mark.slow
@pytest.mark.usefixtures("fake_agents")
def test_front_of_a_device_without_references(capsys: pytest.CaptureFixture[str], tiny_preset: str) -> None:
    document(capsys, "search", "--devices", "cpu", "--preset", tiny_preset, "--run", "mine", "--no-verify")
    code, _, errors = run(capsys, "front", "--run", "mine", "--device", "cpu@3")
    assert code == 1 and "modnas-hw features --device cpu@3" in errors
    assert_one_line(errors)
    advice = shlex.split(errors[errors.index("modnas-hw features") :])
    assert run(capsys, *advice[1:])[0] == 0
    assert document(capsys, "front", "--run", "mine", "--device", "cpu@3")["architectures"]


# Once through a real process: exit codes and streams as a shell sees them.


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_exit_codes_of_the_process() -> None:
    wrong = shell("search", "--devices", "nope")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert_one_line(wrong.stderr)


@pytest.mark.slow
def test_gpu_that_is_not_there_ends_a_real_search_with_exit_3() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has a GPU")
    done = shell("search", "--devices", "gpu,cpu")
    assert (done.returncode, done.stdout) == (3, "") and "CUDAExecutionProvider" in done.stderr
    assert_one_line(done.stderr)
