"""Run directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.core.errors import ModnasHwError, UsageError
from harness.presets import get_preset
from harness.runs.run import Run, RunConfig
from modnas.core.supernetwork import NoSupernetworkError
from modnas.spaces import Space
from modnas.spaces.nasbench201 import NasBench201
from modnas.spaces.nasbench201.presets import PRESETS


def config(**changes: Any) -> RunConfig:
    fields = {
        "space": "nasbench201",
        "task": "digits",
        "devices": ("cpu",),
        "preset": "quick",
        "settings": PRESETS["quick"],
        **changes,
    }
    return RunConfig(**fields)


def test_same_configuration_continues_the_run(home_folder: Path) -> None:
    first = Run.start(config())
    first.write_json("front.json", {"a": 1})
    again = Run.start(config())
    assert again.path == first.path and again.read_json("front.json") == {"a": 1}
    assert Run.open(first.name).config == first.config == config()
    assert first.path.parent == home_folder / "runs"


def test_every_setting_is_part_of_the_default_name() -> None:
    preset = PRESETS["quick"]
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"devices": ("cpu", "gpu")},
        {"devices": ("gpu",)},
        {"task": "fashion-mnist"},
        {"data_dir": "/elsewhere"},
        {"settings": preset.model_copy(update={"front_size": 7})},
        {"settings": preset.model_copy(update={"search": {**preset.search, "epochs": 1}})},
    ]
    assert len({config(**change).default_name for change in changes}) == len(changes)


def test_other_configuration_under_the_same_name_is_refused() -> None:
    run = Run.start(config(), "mine")
    with pytest.raises(UsageError, match="mine exists with other settings") as caught:
        Run.start(config(seed=1), "mine")
    assert str(run.path) in str(caught.value)
    assert Run.open("mine").config == config(), "the run that was there is untouched"


@pytest.mark.parametrize("name", ["../outside", "a/b", "/tmp/absolute", "..", ".", "", "nul\0", "x" * 300])
def test_run_names_are_names(home_folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        Run.start(config(), name)
    assert not (home_folder / "outside").exists()


def test_a_folder_of_that_name_elsewhere_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Run.start(config(seed=5), "mine").path.rename(tmp_path / "mine")
    Run.start(config(), "mine")
    monkeypatch.chdir(tmp_path)
    assert Run.start(config(), "mine").config == config(), "starting looks only in the home"
    assert Run.open(str(elsewhere)).config.seed == 5


def test_unknown_run_lists_the_known() -> None:
    with pytest.raises(UsageError, match="known: none"):
        Run.open("absent")
    Run.start(config(), "mine")
    with pytest.raises(UsageError, match=r"'absent'.*mine"):
        Run.open("absent")


@pytest.mark.parametrize("content", ["", "{}", "half {", '{"space": 3}', "[1]"])
def test_damaged_configuration(content: str) -> None:
    run = Run.start(config(), "mine")
    (run.path / "config.json").write_text(content)
    for again in (lambda: Run.open("mine"), lambda: Run.start(config(), "mine")):
        with pytest.raises(UsageError, match=r"config\.json"):
            again()


def test_missing_and_damaged_json() -> None:
    run = Run.start(config())
    with pytest.raises(UsageError, match=r"no front\.json yet"):
        run.read_json("front.json")
    (run.path / "front.json").write_text('{"half":')
    with pytest.raises(ModnasHwError, match=r"front\.json is damaged"):
        run.read_json("front.json")


def test_values_that_are_no_json_are_not_written() -> None:
    run = Run.start(config())
    run.write_json("front.json", [1])
    with pytest.raises(ValueError, match="JSON"):
        run.write_json("front.json", [float("nan")])
    assert run.read_json("front.json") == [1]


def test_state_round_trip() -> None:
    run = Run.start(config())
    assert not run.has("checkpoint.safetensors")
    run.save_state("checkpoint", {"a": torch.ones(2)}, {"epoch": 3})
    tensors, meta = run.load_state("checkpoint")
    assert (
        run.has("checkpoint.safetensors")
        and meta == {"epoch": 3}
        and torch.equal(tensors["a"], torch.ones(2))
    )


def test_unknown_preset() -> None:
    with pytest.raises(UsageError, match="known: quick"):
        get_preset("nasbench201", "slow")


def test_preset_of_a_space_without_presets() -> None:
    with pytest.raises(UsageError, match="no preset 'quick' for space chess; known: none"):
        get_preset("chess", "quick")


def test_a_space_without_supernetwork_is_only_searched_by_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(NasBench201, "supernetwork", Space.supernetwork)
    task = config().make_task()
    with pytest.raises(NoSupernetworkError):
        config().make_space(task)
    with pytest.raises(NoSupernetworkError):
        config(evaluations=20).make_space(task).supernetwork()
