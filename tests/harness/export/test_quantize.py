"""Quantised networks: what they are calibrated on, what they are in the store, what is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from harness_helpers import FakeAgent
from model_sources import probe_input

from harness.core.errors import UsageError
from harness.devices.registry import get_profile, with_options
from harness.export import ArtifactCache, ExportError
from harness.export.exporters import ANY_OUTPUT, Int8Exporter
from harness.export.quantize import calibration_batches
from harness.measure.profiling import profile_device
from harness.store import Store
from modnas.core.inputs import InputSpec
from modnas.spaces import Space
from modnas.tasks.digits import digits


def test_calibration_data_are_the_task_s_images_in_the_network_s_shape() -> None:
    batches = list(calibration_batches([InputSpec("pixels", (3, 2, 8, 8))]))
    images = digits().train.inputs.numpy()
    assert all(batch.keys() == {"pixels"} for batch in batches)
    arrays = [batch["pixels"] for batch in batches]
    assert {array.shape for array in arrays} == {(3, 2, 8, 8)}
    assert len(batches) == 22  # 64 images, the last batch filled up
    np.testing.assert_allclose(arrays[0][:, :1], images[:3], atol=1e-6)
    np.testing.assert_array_equal(arrays[0][:, 0], arrays[0][:, 1])


def test_networks_without_images_are_refused() -> None:
    with pytest.raises(ExportError, match="images"):
        next(calibration_batches([InputSpec("input", (1, 16))]))


def test_tokens_are_calibrated_over_their_whole_range() -> None:
    batches = list(calibration_batches([InputSpec("ids", (3, 2, 8), "int64", (1, 59))]))
    assert {batch["ids"].shape for batch in batches} == {(3, 2, 8)} and len(batches) == 22
    assert {batch["ids"].dtype for batch in batches} == {np.dtype("int64")}
    assert {int(v) for batch in batches for v in batch["ids"].flat} == {*range(1, 60)}


def test_the_file_computes_in_eight_bits_and_nearly_the_same(space: Space, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    cell = space.references[0]
    plain, small = cache.get(space, cell, 1), Int8Exporter(cache).get(space, cell, 1)
    model = onnx.load(small.path)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    assert onnx.TensorProto.INT8 in {tensor.data_type for tensor in model.graph.initializer}
    session = onnxruntime.InferenceSession(str(small.path), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"input": probe_input(plain.inputs[0].shape).numpy()})
    difference = np.abs(output.ravel() - np.asarray(plain.expected)).max()
    assert 1e-6 < difference < np.abs(plain.expected).max()
    assert small.expected == plain.expected and small.sha256 != plain.sha256
    again = Int8Exporter(cache).get(space, cell, 1)
    assert again.export_s == 0.0, "made once"
    assert again.sha256 == small.sha256, "the agent is told what the file is"


def test_it_is_a_variant_of_its_own_and_its_output_is_not_judged(
    space: Space, fake_agents: list[FakeAgent]
) -> None:
    cells = space.references[:1]
    with Store() as store:
        plain = profile_device(with_options(get_profile("cpu"), None, None, False), space, cells, store)
        small = profile_device(with_options(get_profile("cpu"), None, "int8", False), space, cells, store)
        again = profile_device(with_options(get_profile("cpu"), None, "int8", False), space, cells, store)
    assert (small.measured, again.measured) == (1, 0)
    assert small.rows[0].key != plain.rows[0].key
    assert (plain.rows[0].device, small.rows[0].device) == ("cpu", "cpu+int8"), "vectors must not mix them"
    assert small.rows[0].request["options"]["quantize"] == "int8"
    assert "quantize" not in plain.rows[0].request["options"]
    assert fake_agents[1].requests[-1]["tolerance"] == ANY_OUTPUT
    assert fake_agents[0].requests[-1]["tolerance"] < 1


@pytest.mark.parametrize(
    ("backend", "quantize", "per_op", "message"),
    [
        ("torch", None, True, "--per-op"),
        ("caffe", None, False, "onnxruntime"),
        (None, "int4", False, "int8"),
    ],
)
def test_options_that_do_not_go_together(
    backend: str | None, quantize: str | None, per_op: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        with_options(get_profile("cpu"), backend, quantize, per_op)


@pytest.mark.usefixtures("fake_agents")
def test_eight_bits_are_for_onnx_runtime(space: Space) -> None:
    with Store() as store, pytest.raises(UsageError, match="quantize"):
        profile_device(
            with_options(get_profile("cpu"), "torch", "int8", False), space, space.references[:1], store
        )


def test_a_device_measured_otherwise_has_an_id_that_says_so() -> None:
    assert with_options(get_profile("cpu"), None, None, False).id == "cpu"
    assert with_options(get_profile("cpu"), "onnxruntime", None, False).id == "cpu"
    assert with_options(get_profile("cpu@4"), "torch", None, False).id == "cpu+torch@4"
    assert with_options(get_profile("cpu"), None, "int8", True).name == "cpu"
