"""The exporter against PyTorch itself, through ONNX Runtime."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from harness.export import ExportError, to_onnx
from modnas.core.inputs import InputSpec
from modnas.spaces import Architecture
from modnas.spaces.nasbench201 import NasBench201

# Odd widths, rectangular inputs, the smallest input there is, several cells a stage.
SIZES = (
    NasBench201(channels=5, cells=1, classes=7, input_shape=(3, 12, 20)),
    NasBench201(channels=3, cells=2, classes=10, input_shape=(1, 8, 8)),
    NasBench201(channels=1, cells=1, classes=2, input_shape=(2, 4, 4)),
)
SPECIAL = (
    (0, 0, 0, 0, 0, 0),  # nothing but none
    (1, 0, 3, 0, 0, 0),  # the output node has no input
    (0, 0, 0, 0, 4, 2),  # the output node's inputs lead nowhere
    (0, 1, 2, 0, 3, 0),  # an operator behind a none
    (0, 0, 0, 1, 0, 0),  # one skip connection
    (4, 4, 4, 4, 4, 4),  # pooling only
    (1, 1, 1, 1, 1, 1),  # skip connections only
    (3, 3, 3, 3, 3, 3),  # convolutions only
)


def cells(space: NasBench201) -> list[Architecture]:
    sampled = space.sample(22, torch.Generator().manual_seed(3))
    return [*(space.architecture(choices) for choices in SPECIAL), *sampled]


def randomised(network: nn.Module) -> nn.Module:
    """The network with normalisation that matters: random statistics and affine parts."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.5), (module.running_var, 0.5)):
                assert tensor is not None
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
            for parameter in (module.weight, module.bias):
                if parameter is not None:
                    parameter.data.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
    return network.eval()


def one_thread() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def run(model: bytes, inputs: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, one_thread(), providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    (output,) = session.run(None, {name: inputs.numpy()})
    return np.asarray(output)


def assert_close(found: np.ndarray, expected: Tensor) -> None:
    assert found.shape == tuple(expected.shape)
    scale = max(1e-6, float(expected.abs().max()))
    assert float(np.abs(found - expected.numpy()).max()) <= 1e-4 * scale


def export(network: nn.Module, inputs: Tensor) -> tuple[onnx.ModelProto, Tensor]:
    with torch.no_grad():
        expected = network.eval()(inputs)
    model = to_onnx(network, [InputSpec("input", tuple(inputs.shape))], tuple(expected.shape))
    onnx.checker.check_model(model, full_check=True)
    return model, expected


@pytest.mark.parametrize("space", SIZES, ids=lambda space: space.variant)
def test_exported_cells_compute_what_pytorch_computes(space: NasBench201) -> None:
    generator = torch.Generator().manual_seed(1)
    for number, cell in enumerate(cells(space)):
        batch = 1 + number % 3
        network = randomised(space.network(cell))
        model, expected = export(network, torch.randn(batch, *space.input_shape, generator=generator))
        inputs = torch.randn(batch, *space.input_shape, generator=generator)
        with torch.no_grad():
            expected = network(inputs)
        assert_close(run(model.SerializeToString(), inputs), expected)


def test_dead_operators_kept_in_the_network_are_exported_too() -> None:
    space = SIZES[0]
    for cell in cells(space)[:8]:
        network = randomised(type(space.network(cell))(space.skeleton, cell.choices, keep_dead=True))
        inputs = torch.randn(1, *space.input_shape)
        model, expected = export(network, inputs)
        assert_close(run(model.SerializeToString(), inputs), expected)


def test_shapes_and_names_of_the_model_are_fixed() -> None:
    space = SIZES[0]
    model, _ = export(space.network(space.references[0]), torch.zeros(4, *space.input_shape))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.shape) == ("input", [4, 3, 12, 20])
    assert (result.name, result.shape) == ("output", [4, 7])


def test_equal_networks_give_equal_bytes() -> None:
    space = SIZES[1]
    cell = space.references[3]
    models = []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(export(space.network(cell), torch.zeros(1, *space.input_shape))[0].SerializeToString())
    assert models[0] == models[1]


def torchscript_export(network: nn.Module, inputs: Tensor) -> bytes:
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, (inputs,), buffer, dynamo=False, opset_version=17)
    except Exception as error:
        pytest.skip(f"this PyTorch has no TorchScript exporter that works: {error}")
    return buffer.getvalue()


def test_agrees_with_pytorchs_own_exporter() -> None:
    space = SIZES[0]
    inputs = torch.randn(2, *space.input_shape, generator=torch.Generator().manual_seed(7))
    for cell in [space.architecture(SPECIAL[3]), space.architecture(SPECIAL[7]), *space.references[:2]]:
        network = randomised(space.network(cell))
        ours, expected = export(network, inputs)
        theirs = run(torchscript_export(network, inputs), inputs)
        assert_close(theirs, expected)
        assert_close(run(ours.SerializeToString(), inputs), torch.from_numpy(theirs))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 1), groups=2), (2, 4, 9, 7)),
        (nn.Conv2d(4, 4, 3, dilation=2, padding=2), (1, 4, 9, 7)),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=True), (2, 4, 9, 7)),
        (nn.AvgPool2d((2, 3)), (2, 4, 9, 7)),
        (nn.BatchNorm2d(4, affine=False), (2, 4, 3, 3)),
        (nn.BatchNorm2d(4, eps=0.1), (2, 4, 3, 3)),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 5, bias=False)), (2, 4, 3, 3)),
    ],
    ids=lambda value: str(value).replace("\n", "") if isinstance(value, nn.Module) else "",
)
def test_settings_of_layers_are_kept(layer: nn.Module, shape: Sequence[int]) -> None:
    inputs = torch.randn(*shape, generator=torch.Generator().manual_seed(2))
    model, expected = export(randomised(nn.Sequential(layer)), inputs)
    assert_close(run(model.SerializeToString(), inputs), expected)


class Misnamed(nn.Module):
    """Layers that are called what the graph's own ends are called."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.output = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.output(self.input(x)) + 1
        return result


def test_layers_may_have_any_name() -> None:
    inputs = torch.randn(1, 1, 4, 4)
    model, expected = export(Misnamed(), inputs)
    assert_close(run(model.SerializeToString(), inputs), expected)


class Branching(nn.Module):
    """Its graph depends on its data."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class TwoResults(nn.Module):
    """It returns more than one value."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x + 1


class Method(nn.Module):
    """It calls a tensor's method."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


@pytest.mark.parametrize(
    "network",
    [
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AdaptiveAvgPool2d(2),
        nn.BatchNorm2d(1, track_running_stats=False),
        nn.Flatten(2),
        nn.Flatten(1, 2),
        Branching(),
        TwoResults(),
        Method(),
    ],
    ids=str,
)
def test_what_cannot_be_written_exactly_is_refused(network: nn.Module) -> None:
    with pytest.raises(ExportError):
        to_onnx(nn.Sequential(network), [InputSpec("input", (1, 1, 6, 6))], (1, 1, 6, 6))
