"""What is exported of an architecture: its module, the same in every process, or its ONNX file."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness.export.foreign import at_fault
from harness.export.probe import probe
from modnas.core.errors import ExportError, ModnasError
from modnas.core.inputs import InputSpec
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture

# Inputs that an untrained network's statistics are from. Of a small image the last layers see one pixel,
# so that two images would leave them two values. Of fewer than eight the variance may be next to nothing by
# chance, and dividing by it multiplies rounding errors beyond what a comparison of outputs allows.
_FEW_INPUTS, _SEVERAL_INPUTS, _SMALL_INPUT = 2, 4, 96**2
_FEWEST_VALUES = 8


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: a sum's last bits depend on their number, and a file's hash on its bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def build(source: ArchitectureSource, architecture: Architecture) -> nn.Module | Path:
    """What is measured of an architecture: an ONNX file, or a module in evaluation mode.

    What a source makes at random is the same in every process.

    Raises:
        ExportError: the source's own code fails.
    """
    with _foreign_code("its source cannot make the network"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = source.module(architecture)
        if isinstance(module, Path):
            return module
        if _fresh_norms(module):
            module = copy.deepcopy(module)  # it may be somebody's own
            _settle(module, source.inputs(architecture))
        return module.eval()


def run(module: nn.Module, inputs: Sequence[InputSpec]) -> Tensor:
    """PyTorch's output for inputs whose shapes have the batch dimension.

    Raises:
        ExportError: the module fails, or gives something else than one tensor of finite numbers.
    """
    with torch.inference_mode(), _foreign_code("PyTorch cannot run the network"):
        output = module(*probe(inputs))
    if not isinstance(output, Tensor):
        raise ExportError(f"the network returns {type(output).__name__}, not one tensor")
    if not bool(output.isfinite().all()):
        raise ExportError("PyTorch's own output for the network is not finite")
    return output


@contextmanager
def _foreign_code(what: str) -> Iterator[None]:
    """Raise ExportError for whatever goes wrong, where it is not this machine's fault."""
    try:
        yield
    except (OSError, MemoryError, ImportError, ModnasError):
        raise
    except Exception as error:  # somebody's own code may raise anything
        told = " ".join(str(error).split()) or type(error).__name__
        raise at_fault(ExportError(f"{what}: {told}")) from error


def _fresh_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Normalisations that have never seen an input: their statistics say nothing."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    return [norm for norm in norms if not norm.num_batches_tracked]


def _settle(module: nn.Module, inputs: Sequence[InputSpec]) -> None:
    """Give a module's fresh normalisations the statistics of inputs like these, without batch dimension.

    Latency does not depend on them, but without them activations grow from layer to layer until a comparison
    of outputs says nothing. Each layer's are those of what it gets when the layers before it normalise.
    """
    norms = _fresh_norms(module)
    fewest = _FEWEST_VALUES

    def count_values(_norm: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        nonlocal fewest
        fewest = min(fewest, arguments[0][:, 0].numel())

    def use(count: int) -> None:
        module(*probe([spec.batched(count) for spec in inputs]))

    hooks = [norm.register_forward_pre_hook(count_values) for norm in norms]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.momentum = 1.0  # the statistics become those of the last inputs alone
        norm.train()
    pixels = max(np.prod(spec.shape[1:]) for spec in inputs)
    count = _FEW_INPUTS if pixels > _SMALL_INPUT else _SEVERAL_INPUTS
    with torch.no_grad():
        use(count)
        if fewest < _FEWEST_VALUES:
            use(count * math.ceil(_FEWEST_VALUES / fewest))
    module.eval()
    for norm, momentum, hook in zip(norms, momenta, hooks, strict=True):
        norm.momentum = momentum
        hook.remove()
