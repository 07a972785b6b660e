"""PyTorch module -> a program saved by `torch.export`, which PyTorch runs without the module's Python code.

Of the formats PyTorch can load again this one holds no Python: a graph of ATen operators as JSON beside raw
tensors. It takes a few hundred milliseconds, against a few for ONNX; the artifact cache keeps it.
"""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from harness.export.foreign import at_fault
from modnas.core.errors import ExportError


def to_program(network: nn.Module, *inputs: Tensor) -> bytes:
    """Content of a `.pt2` file for a network in evaluation mode, with the shape of `inputs` fixed.

    Raises:
        ExportError: the network cannot be traced.
    """
    try:
        program = torch.export.export(network.eval(), inputs, strict=False)
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    except (OSError, MemoryError):  # not the network's fault
        raise
    except Exception as error:  # whatever the network's own code or the tracer raises
        raise at_fault(ExportError(f"torch.export cannot export the network: {error}")) from error
    return buffer.getvalue()
