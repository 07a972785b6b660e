"""ONNX networks in 8 bits: static quantisation by ONNX Runtime, calibrated on images or on tokens."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.nn.functional import interpolate

from harness.datasets.task_content import identity, look_at
from harness.export.foreign import at_fault
from harness.export.probe import probe
from modnas.core.errors import ExportError
from modnas.core.inputs import InputSpec
from modnas.tasks.digits import digits

# The images that activations' ranges are taken from, and what there is for tokens.
IMAGES, TOKENS = "digits:64", "formula:64"
_COUNT = 64


def calibration(inputs: Sequence[InputSpec]) -> str:
    """What identifies that with which networks that take these inputs are calibrated."""
    return TOKENS if _are_whole(inputs) else _image_calibration()


@cache
def _image_calibration() -> str:
    """`IMAGES`, unless the package has others than it had."""
    other = identity("digits", look_at("digits"))
    return IMAGES if other is None else f"{IMAGES}:{other[:16]}"


def _are_whole(inputs: Sequence[InputSpec]) -> bool:
    return all(not spec.dtype.startswith("float") for spec in inputs)


def calibration_batches(inputs: Sequence[InputSpec]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Values of the inputs, whose shapes have the batch dimension, batch after batch.

    Images of the task, scaled bilinearly, their channel repeated as often as needed; whole numbers by the
    formula of `modnas_agent.wire.fill`, over their whole range.

    Raises:
        ExportError: the inputs are neither one batch of images nor whole numbers.
    """
    if _are_whole(inputs):
        count = -(-_COUNT // inputs[0].shape[0])
        many = [replace(spec, shape=(count * spec.shape[0], *spec.shape[1:])) for spec in inputs]
        parts = [tensor.chunk(count) for tensor in probe(many)]
        for batch in zip(*parts, strict=True):
            yield {spec.name: tensor.numpy() for spec, tensor in zip(inputs, batch, strict=True)}
        return
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(str(spec.shape) for spec in inputs)
        raise ExportError(f"int8 is calibrated on images or tokens; the network's input {shapes} is neither")
    for array in _images(inputs[0].shape):
        yield {inputs[0].name: array}


def _images(shape: tuple[int, ...]) -> Iterator[npt.NDArray[Any]]:
    batch, channels, height, width = shape
    images = digits().train.inputs[:_COUNT]
    scaled = interpolate(images, size=(height, width), mode="bilinear", antialias=True)
    repeats = -(-channels // scaled.shape[1])
    array = scaled.repeat(1, repeats, 1, 1)[:, :channels].numpy()
    for start in range(0, len(array), batch):
        yield np.ascontiguousarray(np.resize(array[start : start + batch], shape))


class _Reader:
    """Calibration data as ONNX Runtime asks for it."""

    def __init__(self, inputs: Sequence[InputSpec]) -> None:
        self._batches = calibration_batches(inputs)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        return next(self._batches, None)


def quantize(path: Path, output: Path, inputs: Sequence[InputSpec]) -> dict[str, Any]:
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
                _Reader(inputs),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
            )
    except (ExportError, OSError, MemoryError, ImportError):  # not the network's fault, but for the first
        raise
    except Exception as error:  # of many kinds, and asserts
        raise at_fault(ExportError(f"ONNX Runtime cannot quantise the network: {error}")) from error
    return {"quantize": "int8", "calibration": calibration(inputs)}
