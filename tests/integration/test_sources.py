"""Architectures that are no search space's: somebody's modules and ONNX files, measured by a real agent."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from integration_home import Home
from model_sources import Models
from torch import nn

import harness
from harness.export import to_onnx
from modnas import InputSpec

WORDS = 60


class Adder(nn.Module):
    """Two inputs of their own types."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(WORDS, 8), nn.Sequential(nn.Flatten(), nn.Linear(72, 4))

    def forward(self, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.body(self.words(ids) * weights)
        return result


def reader(width: int) -> nn.Module:
    """A network of words."""
    return nn.Sequential(nn.Embedding(WORDS, width), nn.Flatten(), nn.Linear(9 * width, 5))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path / "home")
    monkeypatch.setenv("MODNAS_HOME", str(made.folder))
    return made


TOKENS = InputSpec("ids", (9,), "int64", (0, WORDS - 1))


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("backend", ["onnxruntime", "torch", "tvm"])
def test_networks_of_tokens_are_measured(backend: str) -> None:
    source = Models({"narrow": reader(4), "wide": reader(64)}, TOKENS)
    (found,) = harness.profile(source, "quick", backend=backend)
    assert [row.arch for row in found.rows] == ["narrow", "wide"]
    for row in found.rows:
        assert (row.status, row.space, row.variant) == ("ok", "mine", "1"), row.message
        assert row.latency_ms and row.max_abs_diff is not None and row.max_abs_diff < 1e-4
    (again,) = harness.profile(source, "quick", backend=backend)
    assert again.report and (again.report.measured, again.report.reused) == (0, 2)


@pytest.mark.usefixtures("home")
def test_networks_of_tokens_in_8_bits() -> None:
    source = Models({"wide": reader(64)}, TOKENS)
    (found,) = harness.profile(source, "quick", quantize="int8")
    (row,) = found.rows
    assert row.status == "ok", row.message
    assert row.request["options"]["calibration"] == "formula:64"
    assert row.max_abs_diff is not None and 0 < row.max_abs_diff < 1


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_two_inputs_are_fed_in_their_order(backend: str) -> None:
    weights = InputSpec("weights", (9, 8), range=(0.0, 2.0))
    (found,) = harness.profile(Models({"adder": Adder()}, TOKENS, weights), "quick@3", backend=backend)
    assert found.rows[0].status == "ok", found.rows[0].message
    assert found.rows[0].max_abs_diff is not None and found.rows[0].max_abs_diff < 1e-4


@pytest.mark.usefixtures("home")
def test_a_trained_module_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    network.train()(torch.randn(8, 3, 8, 8))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fresh_norm = nn.BatchNorm2d(4)
    fresh = nn.Sequential(nn.Conv2d(3, 4, 3), fresh_norm, nn.Flatten())
    source = Models({"trained": network, "fresh": fresh}, InputSpec("image", (3, 8, 8)))
    (found,) = harness.profile(source, "quick")
    assert [row.status for row in found.rows] == ["ok", "ok"]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not fresh_norm.num_batches_tracked


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_onnx_files_are_measured_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "reader.onnx"
    model = to_onnx(reader(8), [TOKENS.batched(1)], (1, 5))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"no network")
    source = Models({"file": path, "junk": junk, "gone": tmp_path / "gone.onnx"}, TOKENS)
    (found,) = harness.profile(source, "quick@2")
    file, bad, gone = found.rows
    assert file.status == "ok" and file.batch == 2 and file.max_abs_diff == 0.0
    assert (bad.reason, gone.reason) == ("export", "export")
    (other,) = harness.profile(Models({"file": path}, TOKENS), "quick", backend="torch")
    assert (other.rows[0].status, other.rows[0].reason) == ("error", "export")
    (wrong,) = harness.profile(Models({"misread": path}, InputSpec("ids", (9,), "int32")), "quick")
    assert wrong.rows[0].reason == "export"


class Broken(nn.Module):
    """Whose own code fails."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such layer")


@pytest.mark.usefixtures("home")
def test_what_a_network_does_wrong_is_its_row() -> None:
    too_small = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(36, 5))
    bare = nn.Linear(9, 2)
    source = Models({"broken": Broken(), "small": too_small, "bare": bare, "fine": reader(4)}, TOKENS)
    (found,) = harness.profile(source, "quick")
    assert [row.reason for row in found.rows] == ["export", "export", "export", None]
    assert "no such layer" in str(found.rows[0].message)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_transformer_is_given_tokens(backend: str) -> None:
    space = harness.space(
        "transformer", classes=300, input_shape=(2, 6), embed=40, ffn=48, heads=4, inner=32, norm_first=1
    )
    (found,) = harness.profile(space.references[1:3], "quick@2", space=space, backend=backend)
    for row in found.rows:
        assert row.status == "ok", row.message
        assert row.max_abs_diff is not None and row.max_abs_diff < 1e-4
        assert row.request["options"]["writer"] == 2
