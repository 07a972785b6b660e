"""Files of weights that do not fit, or hold no weights: all of it named before anything is measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from harness_helpers import assert_one_line
from ofa_published import published_names
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.cli import main
from harness.core.errors import UsageError
from harness.runs.starting_weights import weights_sha256
from modnas.spaces import get_space
from modnas.spaces.mobilenetv3 import MobileNetV3

CELLS = get_space("nasbench201", channels=4, cells=1)
STATE = {name: tensor.clone() for name, tensor in CELLS.supernetwork().state_dict().items()}
FLOATS = [name for name, tensor in STATE.items() if tensor.is_floating_point() and tensor.dim()]


def changed(names: list[str], change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {name: change(tensor) if name in names else tensor for name, tensor in STATE.items()}


def one_nan(tensor: Tensor) -> Tensor:
    wrong = tensor.clone()
    wrong.view(-1)[0] = float("nan")
    return wrong


#: The names that have to be told, the state dict, and the reason.
WRONG = {
    "not a number": (FLOATS[:14], changed(FLOATS[:14], one_nan), "no finite number"),
    "infinite": (FLOATS[3:4], changed(FLOATS[3:4], lambda t: t / 0), "no finite number"),
    "too large": (FLOATS[:2], changed(FLOATS[:2], lambda t: t.double() + 1e300), "no finite number"),
    "integers": (FLOATS[:12], changed(FLOATS[:12], lambda t: t.to(torch.int8)), "int8 in place of float32"),
    "complex": (FLOATS[:1], changed(FLOATS[:1], lambda t: t.to(torch.complex64)), "complex64 in place"),
    "misshaped": (FLOATS[:5], changed(FLOATS[:5], lambda t: torch.cat([t, t])), "has the shape"),
    "missing": (FLOATS[:6], {n: t for n, t in STATE.items() if n not in FLOATS[:6]}, "is missing"),
    "unknown": (["a", "b"], {**STATE, "a": torch.zeros(1), "b": torch.zeros(1)}, "is unknown"),
}


@pytest.mark.parametrize("name", WRONG)
def test_all_tensors_that_cannot_be_used_are_named_and_none_is_taken(tmp_path: Path, name: str) -> None:
    names, state, reason = WRONG[name]
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    network = CELLS.supernetwork()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    with pytest.raises(ValueError, match=reason) as caught:
        CELLS.load_weights(network, path)
    assert all(f"{one} " in str(caught.value) for one in names)
    assert str(caught.value).count(reason) == len(names)
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_are_taken(tmp_path: Path, kind: torch.dtype) -> None:
    save_file(changed(FLOATS, lambda t: t.to(kind)), tmp_path / "w.safetensors")
    assert CELLS.load_weights(CELLS.supernetwork(), tmp_path / "w.safetensors") == 0


def test_what_a_checkpoint_has_besides_is_counted(tmp_path: Path) -> None:
    inside = {f"supernetwork.{name}": tensor for name, tensor in STATE.items()}
    save_file({**inside, "step": torch.zeros(1), "optimizer.0": torch.zeros(3)}, tmp_path / "w.safetensors")
    assert CELLS.load_weights(CELLS.supernetwork(), tmp_path / "w.safetensors") == 2


def test_published_files_are_read_as_strictly(tmp_path: Path) -> None:
    space = MobileNetV3(width_percent=25, classes=3, input_shape=(1, 40, 40), min_side=16)
    whole = {name: torch.rand(shape) for name, shape in published_names(space).items()}
    variances = [name for name in whole if name.endswith("running_var")][:12]
    first = next(iter(whole))
    for state, told in (
        ({**whole, **{name: -whole[name] for name in variances}}, ["12 of", "(negative variances)"]),
        ({**whole, "x.y": torch.ones(1), "z": torch.ones(1)}, ["no place for 'x.y', 'z'"]),
        ({**whole, first.replace("first_conv.conv", "first_conv.conv.conv"): whole[first]}, ["another"]),
    ):
        torch.save({"state_dict": state}, tmp_path / "w.pth")
        with pytest.raises(ValueError) as caught:
            space.load_weights(space.supernetwork(), tmp_path / "w.pth")
        assert all(part in str(caught.value) for part in told), caught.value
    torch.save({"state_dict": whole, "epoch": 3, "optimizer": {}}, tmp_path / "w.pth")
    assert space.load_weights(space.supernetwork(), tmp_path / "w.pth") == 2


@pytest.fixture
def command(tiny_preset: str) -> list[str]:
    return ["search", "--devices", "cpu", "--preset", tiny_preset, "--no-verify"]


def test_a_search_names_them_before_it_begins(
    command: list[str],
    fake_agents: list[object],
    home_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*command, "--run", "source"]) == 0
    checkpoint = home_folder / "runs" / "source" / "checkpoint.safetensors"
    tensors = load_file(checkpoint)
    wrong = [n for n, t in tensors.items() if n.startswith("supernetwork.") and t.is_floating_point()][:12]
    save_file(
        {**tensors, **{name: tensors[name] * float("nan") for name in wrong}}, tmp_path / "nan.safetensors"
    )
    agents = len(fake_agents)
    capsys.readouterr()
    assert main([*command, "--run", "mine", "--weights", str(tmp_path / "nan.safetensors")]) == 2
    told = capsys.readouterr().err
    assert_one_line(told)
    assert all(name.removeprefix("supernetwork.") in told for name in wrong)
    assert len(fake_agents) == agents and not (home_folder / "runs" / "mine").exists()

    assert main([*command, "--run", "mine", "--weights", str(checkpoint)]) == 0
    others = sum(not name.startswith("supernetwork.") for name in tensors)
    assert f"weights: {others} other entries of {checkpoint} not used" in capsys.readouterr().err


def test_a_pipe_is_no_file_of_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no file"):
        weights_sha256(tmp_path / "pipe")
