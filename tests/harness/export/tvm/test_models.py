"""Kinds of networks beyond NAS-Bench-201 that TVM must compile."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from model_sources import probe_input
from torch import Tensor, nn
from tvm_alone import run_alone

from harness.export.tvm.compiler import Compiler

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tvm") is None or importlib.util.find_spec("onnxscript") is None,
    reason="TVM or onnxscript is not installed",
)


class InvertedResidual(nn.Module):
    """MobileNetV3's block: expand, depthwise, squeeze and excite, project."""

    def __init__(self, channels: int, expanded: int, kernel: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(
            nn.Conv2d(channels, expanded, 1), nn.BatchNorm2d(expanded), nn.Hardswish()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(expanded, expanded, kernel, padding=kernel // 2, groups=expanded),
            nn.BatchNorm2d(expanded),
            nn.Hardswish(),
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(expanded, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, expanded, 1),
            nn.Hardsigmoid(),
        )
        self.project = nn.Conv2d(expanded, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        return x + self.project(y * self.excite(y))


class TransformerBlock(nn.Module):
    """Attention over a few positions, written out, and a feed-forward part, both behind layer norms."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.first(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + self.feed(self.second(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "shape"),
    [(InvertedResidual(8, 16, 5), (1, 8, 12, 12)), (TransformerBlock(16, 2), (1, 6, 16))],
    ids=["mobilenetv3", "transformer"],
)
def test_it_agrees_with_pytorch(network: nn.Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    model, library = tmp_path / "model.onnx", tmp_path / "model.so"
    inputs = probe_input(shape)
    with torch.inference_mode():
        expected = network.eval()(inputs).numpy().ravel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            network, (inputs,), str(model), input_names=["input"], opset_version=18, verbose=False
        )
    with Compiler() as compiler:
        compiler.compile(model, library, compiler.host()[0], None)
    found = run_alone(library, shape)
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()
