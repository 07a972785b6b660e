"""Tensor files: round trip and damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory import taken_mb
from torch import Tensor

from harness.core.home import file_sha256
from harness.core.tensors import TensorFileError, load_tensors, save_tensors
from modnas.core.bounded import TooLargeError
from modnas.core.weights import read_weights

TENSORS: dict[str, Tensor] = {
    "a": torch.arange(6.0).reshape(2, 3),
    "state": torch.arange(5, dtype=torch.uint8),
    "scalar": torch.tensor(3.5, dtype=torch.float64),
    "empty": torch.zeros(0, 4),
}
META = {"format": 1, "text": "ü", "list": [1, None, {"x": 0.1}]}


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_tensors(path, TENSORS, META)
    tensors, meta = load_tensors(path)
    assert meta == META and tensors.keys() == TENSORS.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype and torch.equal(tensor, TENSORS[name])
    save_tensors(path, {"a": torch.ones(1)}, None)
    assert load_tensors(path)[0].keys() == {"a"}, "a file is replaced as a whole"


def test_loaded_tensors_survive_the_replacement_of_their_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_tensors(path, TENSORS, META)
    tensors, _ = load_tensors(path)
    save_tensors(path, {name: tensor + 1 for name, tensor in TENSORS.items()}, META)
    assert torch.equal(tensors["a"], TENSORS["a"])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TensorFileError, match="is missing"):
        load_tensors(tmp_path / "state.safetensors")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(st.data())
def test_damaged_file_is_told_as_such(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "state.safetensors"
    save_tensors(path, TENSORS, META)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        header = int.from_bytes(content[:8], "little") + 8
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        load_tensors(path)  # a changed letter in a name is no damage that a file could show
    except TensorFileError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("content", [b"", b"x", b"{}" * 50, b"\x80\x04K\x01."])
def test_file_that_is_no_tensor_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(TensorFileError, match="damaged"):
        load_tensors(path)


@pytest.mark.parametrize("gb", [4, 16])
def test_a_file_of_nothing_is_no_memory(tmp_path: Path, gb: int) -> None:
    path, size = tmp_path / "state.safetensors", gb << 30
    about = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"meta": "{}"}, "a": about}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)  # takes no place on the disk
    for read, kinds in ((load_tensors, (TensorFileError, TooLargeError)), (read_weights, ValueError)):
        error, grown = taken_mb(lambda read=read: read(path))
        assert isinstance(error, kinds) and str(path) in str(error) and grown < 20


def test_a_hash_takes_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(300 << 20)
    error, grown = taken_mb(lambda: file_sha256(tmp_path / "f"))
    assert error is None and grown < 20


def test_file_without_the_document(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "state.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(TensorFileError, match="damaged"):
        load_tensors(path)
