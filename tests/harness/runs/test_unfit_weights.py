"""Files of weights that do not fit, or hold no weights: all of it named before anything is measured."""

from __future__ import annotations

import dataclasses
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
from modnas.spaces import Space, get_space
from modnas.spaces.mobilenetv3 import MobileNetV3

CELLS = get_space("nasbench201", channels=4, cells=1)
MOBILE = MobileNetV3(width_percent=25, classes=3, input_shape=(1, 40, 40), min_side=16)
STATE = {name: tensor.clone() for name, tensor in CELLS.supernetwork().state_dict().items()}
FLOATS = [name for name, tensor in STATE.items() if tensor.is_floating_point() and tensor.dim()]


def replaced(space: Space, classes: int) -> Space:
    """The same space with another number of classes."""
    return dataclasses.replace(space, classes=classes)  # type: ignore[type-var]


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


WRAPPERS = ["module.", "model.", "_orig_mod.", "state_dict.", "net.", "state_dict.model.module._orig_mod."]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_weights_saved_from_a_wrapped_network_are_taken(tmp_path: Path, wrapper: str) -> None:
    wrapped = {f"{wrapper}{name}": tensor for name, tensor in STATE.items()}
    save_file({**wrapped, "epoch": torch.zeros(1), "optimizer.0": torch.zeros(3)}, tmp_path / "w.safetensors")
    network = CELLS.supernetwork()
    assert CELLS.load_weights(network, tmp_path / "w.safetensors") == 2
    assert all(torch.equal(t, STATE[n]) for n, t in network.state_dict().items())


def test_weights_of_compiled_parts_are_taken(tmp_path: Path) -> None:
    first = next(iter(STATE)).partition(".")[0]
    save_file({n.replace(f"{first}.", f"{first}._orig_mod."): t for n, t in STATE.items()}, tmp_path / "w")
    network = CELLS.supernetwork()
    CELLS.load_weights(network, tmp_path / "w")
    assert all(torch.equal(t, STATE[n]) for n, t in network.state_dict().items())


def test_weights_of_two_networks_are_not_chosen_from(tmp_path: Path) -> None:
    both = {f"{wrapper}.{n}": t.clone() for wrapper in ("model", "ema") for n, t in STATE.items()}
    save_file(both, tmp_path / "w")
    for load in (CELLS.load_weights, CELLS.load_fitting_weights):
        with pytest.raises(ValueError, match=r"as ema\.\*, model\.\*"):
            load(CELLS.supernetwork(), tmp_path / "w")


def heads(state: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """The tensors that depend on the number of classes."""
    return {name for name, tensor in state.items() if tensor.shape != other[name].shape}


@pytest.mark.parametrize("space", [CELLS, MOBILE], ids=lambda space: space.name)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_a_head_for_other_classes_is_left_out_and_told(tmp_path: Path, space: Space, wrapper: str) -> None:
    more = replaced(space, classes=7).supernetwork().state_dict()
    network = space.supernetwork()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    head = heads(before, more)
    floats = [name for name, tensor in before.items() if tensor.is_floating_point()]
    path = tmp_path / "w.safetensors"
    save_file({f"{wrapper}{n}": t * (float("nan") if n in head else 1) for n, t in more.items()}, path)
    with pytest.raises(ValueError, match="of another network"):
        space.load_weights(network, path)
    fit, others = space.load_fitting_weights(network, path)
    assert 0 < len(head) < 3 and others == 0
    assert (fit.loaded, fit.total) == (len(floats) - len(head), len(floats))
    assert {text.partition(" ")[0] for text in fit.unfit} == head
    assert str(fit).startswith(f"{fit.loaded} of {fit.total} tensors loaded; not: ")
    for name, tensor in network.state_dict().items():
        if name in floats:
            assert torch.equal(tensor, before[name] if name in head else more[name])


@pytest.mark.parametrize("entry", ["state_dict", "model_state_dict", "model"])
def test_a_published_file_with_another_head_fits_but_for_it(tmp_path: Path, entry: str) -> None:
    shapes = published_names(replaced(MOBILE, classes=7))
    state = {f"module.{name}": torch.rand(shape) for name, shape in shapes.items()}
    torch.save({entry: state, "epoch": 3}, tmp_path / "w.pth")
    fit, others = MOBILE.load_fitting_weights(MOBILE.supernetwork(), tmp_path / "w.pth")
    assert [text.partition(" ")[0] for text in fit.unfit] == ["head.6.weight", "head.6.bias"]
    assert (fit.loaded, others) == (fit.total - 2, 1)


def test_what_fits_in_nothing_or_is_no_number_is_refused(tmp_path: Path) -> None:
    network = CELLS.supernetwork()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    for state, told in (
        ({name: torch.cat([t, t]) for name, t in STATE.items() if t.dim()}, "of another network"),
        ({name: t for name, t in STATE.items() if not t.is_floating_point()}, "of another network"),
        (changed(FLOATS[:2], one_nan), "2 of"),
    ):
        save_file(state, tmp_path / "w")
        with pytest.raises(ValueError, match=told):
            CELLS.load_fitting_weights(network, tmp_path / "w")
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())


@pytest.fixture
def command(tiny_preset: str) -> list[str]:
    return ["search", "--devices", "cpu", "--preset", tiny_preset, "--no-verify"]


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_search_begins_with_what_fits_and_says_so(
    command: list[str], home_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--run", "source"]) == 0
    tensors = load_file(home_folder / "runs" / "source" / "checkpoint.safetensors")
    part = "supernetwork."
    own = {f"module.{n.removeprefix(part)}": t for n, t in tensors.items() if n.startswith(part)}
    head = next(name for name in reversed(own) if name.endswith("weight") and len(own[name]) == 10)
    path = tmp_path / "w.safetensors"
    save_file({**own, head: torch.cat([own[head]] * 2)}, path)
    capsys.readouterr()
    assert main([*command, "--run", "frozen", "--weights", str(path), "--freeze-weights"]) == 2
    told = capsys.readouterr().err
    assert_one_line(told)
    assert "has the shape 20x" in told and "without --freeze-weights" in told
    assert main([*command, "--run", "mine", "--weights", str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "tensors loaded" in line]
    total = sum(tensor.is_floating_point() for tensor in own.values())
    assert line.startswith(f"weights: {total - 1} of {total} tensors loaded; not: ")
    assert f"{head.removeprefix('module.')} has the shape 20x" in line


def test_a_pipe_is_no_file_of_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no file"):
        weights_sha256(tmp_path / "pipe")
