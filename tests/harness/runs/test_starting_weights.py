"""`search --weights FILE --freeze-weights`: what starts from a file, continues, and is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ofa_published import published_names
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness import Study
from harness.cli import main
from harness.core.errors import UsageError
from harness.presets import Preset, Recipe, get_preset
from harness.runs.run import Run, RunConfig
from harness.runs.starting_weights import check_weights
from harness.store import content_key
from modnas.search import SearchConfig
from modnas.spaces import get_space
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.checkpoint import own_name
from modnas.spaces.mobilenetv3.presets import PRESETS as MOBILENETV3_PRESETS

pytestmark = pytest.mark.usefixtures("fake_agents")


@pytest.fixture
def command(tiny_preset: str) -> list[str]:
    return ["search", "--devices", "cpu", "--preset", tiny_preset, "--no-verify"]


def weights_of(run: Path) -> dict[str, Tensor]:
    tensors = load_file(run / "checkpoint.safetensors")
    return {n: t for n, t in tensors.items() if n.startswith("supernetwork.")}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def trained(command: list[str], home_folder: Path) -> Path:
    """The run folder of a search that has trained a supernetwork."""
    assert main([*command, "--run", "trained"]) == 0
    return home_folder / "runs" / "trained"


@pytest.mark.trains
def test_a_finished_runs_supernetwork_is_searched_on_frozen(
    command: list[str], trained: Path, home_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained / "checkpoint.safetensors"
    frozen = [*command, "--run", "frozen", "--weights", str(weights), "--freeze-weights"]
    assert main(frozen) == 0
    run = home_folder / "runs" / "frozen"
    assert same(weights_of(run), weights_of(trained))
    assert not any(name.startswith("weights.") for name in load_file(run / "checkpoint.safetensors"))
    config = Run.open("frozen").config
    assert config.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert config.weights_sha256 in (run / "report.html").read_text()

    written = (run / "front.json").read_bytes()
    capsys.readouterr()
    assert main(frozen) == 0, "the same command continues"
    assert "2 of 2 epochs are done already" in capsys.readouterr().err
    assert (run / "front.json").read_bytes() == written

    # From the first checkpoint on the file is not needed; the command that names it is.
    weights.unlink()
    assert main(["front", "--run", "frozen", "--device", "cpu", "--preferences", "3"]) == 0
    capsys.readouterr()
    assert main(frozen) == 2
    assert str(weights) in one_line(capsys)


@pytest.mark.trains
def test_without_freezing_training_goes_on_from_the_file(
    command: list[str], trained: Path, home_folder: Path
) -> None:
    weights = str(trained / "checkpoint.safetensors")
    assert main([*command, "--run", "more", "--weights", weights]) == 0
    # The same batches and draws as before: nothing but other weights at the start can end elsewhere.
    assert not same(weights_of(home_folder / "runs" / "more"), weights_of(trained))


def test_another_file_or_other_freezing_is_another_run(
    command: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, other = trained / "checkpoint.safetensors", tmp_path / "other.safetensors"
    tensors = weights_of(trained)
    save_file({n.partition(".")[2]: 2 * t for n, t in tensors.items()}, other)
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(weights.read_bytes())
    frozen = [*command, "--freeze-weights", "--weights"]
    assert main([*frozen, str(weights), "--run", "mine"]) == 0
    capsys.readouterr()
    for refused in ([*frozen, str(other)], [*command, "--weights", str(weights)], command):
        assert main([*refused, "--run", "mine"]) == 2
        assert "other settings" in capsys.readouterr().err
    assert main([*frozen, str(moved), "--run", "mine"]) == 0, "the same weights elsewhere are the same"


@pytest.mark.parametrize("content", [None, b"", b"nothing"], ids=["missing", "empty", "damaged"])
def test_a_wrong_file_is_one_line_before_anything_begins(
    command: list[str],
    home_folder: Path,
    capsys: pytest.CaptureFixture[str],
    fake_agents: list[object],
    content: bytes | None,
) -> None:
    path = home_folder.parent / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert main([*command, "--weights", str(path)]) == 2
    assert f"--weights {path}: " in one_line(capsys)
    assert not fake_agents
    assert not list(home_folder.glob("runs/*"))


def test_weights_of_another_network_are_one_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert main([*command, "--weights", str(path)]) == 2
    assert "of another network" in one_line(capsys)
    assert main([*command, "--weights", str(tmp_path)]) == 2
    assert "directory" in one_line(capsys)


def test_until_there_is_a_checkpoint_the_file_is_needed_as_it_was(
    command: list[str], trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained / "checkpoint.safetensors"
    assert main([*command, "--run", "mine", "--weights", str(weights)]) == 0
    run = Run.open("mine")
    (run.path / "checkpoint.safetensors").unlink()
    capsys.readouterr()
    assert main(["front", "--run", "mine", "--device", "cpu", "--preferences", "3"]) == 2
    assert "with --weights, again" in one_line(capsys)
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(UsageError, match="the file has changed"):
        check_weights(run.config, weights)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"freeze_weights": True}, "give others with --weights"),
        ({"weights": Path("absent"), "accuracy": "surrogate"}, "none with --accuracy surrogate"),
        ({"weights": Path("absent")}, "absent: No such file"),
    ],
)
def test_options_that_cannot_be(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Study(**given)


def test_runs_from_before_there_were_weights_are_continued(tiny_preset: str) -> None:
    config = RunConfig(
        space="nasbench201",
        task="digits",
        devices=("cpu",),
        preset=tiny_preset,
        settings=get_preset("nasbench201", tiny_preset),
    )
    document = config.model_dump(mode="json")
    for later in ("weights_sha256", "choice", "evaluated_by", "accuracy_function", "measure"):
        del document[later]
    assert config.default_name.endswith(content_key(document)[:6])
    run = Run.start(config)
    (run.path / "config.json").write_text(json.dumps(document))
    assert Run.open(run.name).config == config
    assert Run.start(config).path == run.path


def test_preset_paper_makes_networks_of_the_published_size(tmp_path: Path) -> None:
    settings = get_preset("mobilenetv3", "paper")
    space = get_space("mobilenetv3", **settings.space, classes=1000, input_shape=(3, 224, 224))
    assert settings.task_side == 224 and space == MobileNetV3()
    SearchConfig(**settings.search, front_size=settings.front_size)
    path = tmp_path / "ofa_mbv3_d234_e346_k357_w1.2"
    torch.save({"state_dict": {n: torch.ones(shape) for n, shape in published_names().items()}}, path)
    supernetwork = space.supernetwork()
    space.load_weights(supernetwork, path)
    assert all((parameter == 1).all() for parameter in supernetwork.parameters())


@pytest.mark.slow
@pytest.mark.trains
def test_a_published_once_for_all_file_is_searched_on(
    home_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published names in the shapes of a small network: no file of the authors' is at hand."""
    preset = Preset(
        space={"width_percent": 25, "min_side": 8},
        profile_archs=12,
        batch_size=32,
        task_limit=60,
        task_side=32,
        search={"epochs": 1, "steps_per_epoch": 1, "smoothing": 5},
        score_images=20,
        front_size=2,
        recipe=Recipe(epochs=0, inherit=True),
    )
    monkeypatch.setitem(MOBILENETV3_PRESETS, "tiny", preset)
    space = MobileNetV3(width_percent=25, min_side=8, classes=10, input_shape=(1, 32, 32))
    generator = torch.Generator().manual_seed(0)
    state = {n: torch.rand(shape, generator=generator) for n, shape in published_names(space).items()}
    path = tmp_path / "ofa_mbv3_d234_e346_k357_w0.25"
    torch.save({"state_dict": state}, path)
    command = ["search", "--space", "mobilenetv3", "--devices", "cpu", "--preset", "tiny", "--no-verify"]
    assert main([*command, "--run", "ofa", "--weights", str(path), "--freeze-weights"]) == 0
    found = weights_of(home_folder / "runs" / "ofa")
    for name, tensor in state.items():
        if "num_batches" not in name:
            assert torch.equal(found[f"supernetwork.{own_name(name)}"], tensor)
