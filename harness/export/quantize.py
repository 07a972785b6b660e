"""ONNX networks in 8 bits: static quantisation by ONNX Runtime, calibrated on images of a task."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.nn.functional import interpolate

from harness.datasets.task_content import identity, look_at
from harness.export.foreign import at_fault
from harness.export.onnx_graph import ExportError
from modnas.tasks.digits import digits

# The images that activations' ranges are taken from.
CALIBRATION = "digits:64"
_COUNT = 64


@cache
def calibration() -> str:
    """What identifies the calibration images: `CALIBRATION`, unless the package has others than it had."""
    other = identity("digits", look_at("digits"))
    return CALIBRATION if other is None else f"{CALIBRATION}:{other[:16]}"


def calibration_batches(shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
    """Images of the task in batches of `shape`: scaled bilinearly, their channel repeated as often as needed.

    Raises:
        ExportError: `shape` is not that of a batch of images.
    """
    if len(shape) != 4:
        raise ExportError(f"int8 is calibrated on images; the network's input of shape {shape} is not")
    batch, channels, height, width = shape
    images = digits().train.inputs[:_COUNT]
    scaled = interpolate(images, size=(height, width), mode="bilinear", antialias=True)
    repeats = -(-channels // scaled.shape[1])
    array = scaled.repeat(1, repeats, 1, 1)[:, :channels].numpy()
    for start in range(0, len(array), batch):
        yield np.ascontiguousarray(np.resize(array[start : start + batch], shape))


class _Reader:
    """Calibration data as ONNX Runtime asks for it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._batches = calibration_batches(shape)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}


def quantize(path: Path, output: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """Write a QDQ model: weights int8 a channel, activations int8 a tensor. What there is to tell about it.

    Raises:
        ExportError: ONNX Runtime cannot quantise the network.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)  # it advises to do what the next lines do
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(path, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                output,
                _Reader(shape),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
            )
    except (ExportError, OSError, MemoryError, ImportError):  # not the network's fault, but for the first
        raise
    except Exception as error:  # of many kinds, and asserts
        raise at_fault(ExportError(f"ONNX Runtime cannot quantise the network: {error}")) from error
    return {"quantize": "int8", "calibration": calibration()}
