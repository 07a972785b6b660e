"""The networks of a front as files: what is written is what was judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from harness_helpers import assert_one_line

from harness.cli import main
from harness.core.home import subfolder
from harness.core.tensors import load_tensors, save_tensors
from harness.runs import evaluation
from modnas.tasks import get_task

pytestmark = [pytest.mark.trains, pytest.mark.usefixtures("fake_agents")]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments, "--json"])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def run_name(capsys: pytest.CaptureFixture[str], tiny_preset: str) -> str:
    """A search that is finished and not verified."""
    command = ("search", "--devices", "cpu", "--preset", tiny_preset, "--run", "mine", "--no-verify")
    assert call(capsys, *command)[0] == 0
    return "mine"


def test_files_compute_what_was_judged(
    capsys: pytest.CaptureFixture[str], run_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "found" / "networks"
    command = ("front", "--run", run_name, "--device", "cpu", "--networks", str(folder))
    code, out, _ = call(capsys, *command)
    assert code == 0
    written = json.loads((folder / "networks.json").read_text())["networks"]
    assert [one["arch"] for one in written] == [one["arch"] for one in json.loads(out)["architectures"]]
    test = get_task("digits", limit=100).test
    for one in written:
        session = onnxruntime.InferenceSession(folder / one["file"], providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        assert given.shape == [1, *test.inputs.shape[1:]]
        answers = [
            int(session.run(None, {given.name: image[None]})[0].argmax()) for image in test.inputs.numpy()
        ]
        error = 100 * float(np.mean(np.array(answers) != test.targets.numpy()))
        assert error == pytest.approx(one["error"], abs=0.5)

    trained: list[object] = []
    monkeypatch.setattr(evaluation, "train", lambda *a, **_: trained.append(a))
    assert call(capsys, *command)[0] == 0
    assert trained == [], "nothing is trained twice"


def test_lost_weights_are_trained_again(
    capsys: pytest.CaptureFixture[str], run_name: str, tmp_path: Path
) -> None:
    command = ("front", "--run", run_name, "--device", "cpu", "--networks", str(tmp_path / "found"))
    assert call(capsys, *command)[0] == 0
    before = (tmp_path / "found" / "1.onnx").read_bytes()
    for file in subfolder("weights").iterdir():
        file.unlink()
    assert call(capsys, *command)[0] == 0
    assert (tmp_path / "found" / "1.onnx").read_bytes() == before


def test_damaged_weights_and_unwritable_folders_are_one_line(
    capsys: pytest.CaptureFixture[str], run_name: str, tmp_path: Path
) -> None:
    command = ("front", "--run", run_name, "--device", "cpu", "--networks")
    (tmp_path / "file").touch()
    code, out, errors = call(capsys, *command, str(tmp_path / "file"))
    assert code == 2 and "cannot be written" in json.loads(out)["error"]["message"]
    assert_one_line(errors)
    assert call(capsys, *command, str(tmp_path / "whole"))[0] == 0
    whole = {file: load_tensors(file) for file in subfolder("weights").iterdir()}
    assert whole
    for change in (lambda t: t * float("nan"), lambda t: t.int(), lambda t: t[..., :-1]):
        for file, (tensors, meta) in whole.items():
            first = next(name for name, tensor in tensors.items() if tensor.dim())
            save_tensors(file, {**tensors, first: change(tensors[first]).contiguous()}, meta)
        code, out, errors = call(capsys, *command, str(tmp_path / "found"))
        assert code == 1 and first in json.loads(out)["error"]["message"]
        assert_one_line(errors)
        assert not [*tmp_path.glob("found/*.onnx")], "no network of such weights is written"
    for file in subfolder("weights").iterdir():
        file.write_bytes(b"half of")
    code, out, errors = call(capsys, *command, str(tmp_path / "found"))
    assert code == 1 and "damaged" in json.loads(out)["error"]["message"]
    assert_one_line(errors)
