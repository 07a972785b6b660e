"""What every source of architectures must do: names, inputs, and networks that can be measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from modnas.core.architecture import Architecture, ArchitectureError
from modnas.core.graphs import OPSET
from modnas.core.inputs import InputSpec
from modnas.core.source import ArchitectureSource
from modnas.testing.inputs import random_inputs


def check_source(source: ArchitectureSource, *, networks: int = 3) -> None:
    """Check a source of architectures.

    Args:
        networks: how many architectures' networks are made and used.

    Raises:
        AssertionError: it does not do what a source must; the message says what.
    """
    check_names(source)
    some = list(dict.fromkeys([source.anchor, *(source.architectures or ())[:networks]]))[:networks]
    for architecture in some:
        check_module(source, architecture)


def check_names(source: ArchitectureSource) -> None:
    """Its own name and those of its architectures, which stores and files know them by."""
    name, variant = source.name, source.variant
    assert name and name.isprintable() and not {*name} & {*":/ "}, f"name {name!r}: no space, colon or slash"
    fit = bool(variant) and variant.isprintable() and "/" not in variant
    assert fit, f"variant {variant!r}: one line, no slash"
    assert source.variant == variant, "variant differs from one time to the next"
    listed = source.architectures
    known: Sequence[Architecture] = [source.anchor] if listed is None else listed
    assert known, "a source needs at least one architecture"
    assert len({a.string for a in known}) == len(known), "two architectures have one string"
    if listed is not None:
        assert source.anchor in listed, "the anchor is none of its architectures"
        again = source.architectures
        assert again is not None and [*again] == [*listed], "the order of architectures changes"
    for architecture in known:
        assert architecture.space == name, f"{architecture.string}: its space is {architecture.space!r}"
        assert architecture.string.strip() == architecture.string != "", "a string is not empty or padded"
        assert len(architecture.string.splitlines()) == 1, f"{architecture.string!r} has several lines"
    for architecture in known[:100]:
        assert source.parse(architecture.string) == architecture, f"{architecture.string} is read as another"
        assert source.parse(architecture.id) == architecture, f"{architecture.id} is read as another"
    try:
        found = source.parse("no such architecture")
    except ArchitectureError:
        return
    raise AssertionError(f"parse reads any text: {found}")


def check_module(source: ArchitectureSource, architecture: Architecture) -> None:
    """What is measured of an architecture: it takes its inputs and gives the same twice."""
    inputs = source.inputs(architecture)
    told = f"{architecture.string}: "
    assert inputs and all(isinstance(spec, InputSpec) for spec in inputs), f"{told}inputs are InputSpecs"
    assert len({spec.name for spec in inputs}) == len(inputs), f"{told}two inputs have one name"
    assert source.inputs(architecture) == inputs, f"{told}its inputs change"
    module = _made(source, architecture)
    if isinstance(module, Path):
        _check_graph(onnx.load(module, load_external_data=False), inputs, told)
        return
    output = _use(module, inputs, 2)
    assert isinstance(output, Tensor), f"{told}it returns {type(output).__name__}, not one tensor"
    assert len(output) == 2, f"{told}the first dimension of its output is not the batch"
    assert bool(output.isfinite().all()), f"{told}its output is not finite"
    assert torch.equal(output, _use(module, inputs, 2)), f"{told}its output changes from call to call"
    other = _made(source, architecture)
    assert isinstance(other, nn.Module), f"{told}a module once, a file once"
    assert torch.equal(output, _use(other, inputs, 2)), f"{told}made anew with one seed it is another network"
    if source.writer is not None:
        assert type(source.writer.version) is int, f"{told}its writer's version is a whole number"
        batched = [spec.batched(1) for spec in inputs]
        model = onnx.load_model_from_string(source.writer.timed(module.eval(), batched))
        onnx.checker.check_model(model)
        _check_graph(model, batched, told)
        assert "output" in [value.name for value in model.graph.output], f"{told}no output `output`"


def _made(source: ArchitectureSource, architecture: Architecture) -> nn.Module | Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return source.module(architecture)


@torch.no_grad()
def _use(module: nn.Module, inputs: Sequence[InputSpec], batch: int) -> Tensor:
    try:
        output: Tensor = module.eval()(*random_inputs(inputs, batch))
    except Exception as error:  # somebody's own code may raise anything
        raise AssertionError(f"the module fails on what inputs says it takes: {error}") from error
    return output


def _check_graph(model: onnx.ModelProto, inputs: Sequence[InputSpec], told: str) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    taken = {v.name: v.type.tensor_type.elem_type for v in model.graph.input if v.name not in weights}
    kinds = {name: str(helper.tensor_dtype_to_np_dtype(kind)) for name, kind in taken.items()}
    wanted = {spec.name: spec.dtype for spec in inputs}
    assert [*kinds.items()] == [*wanted.items()], f"{told}the graph takes {kinds}, inputs says {wanted}"
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    assert opset >= OPSET, f"{told}opset {opset} is older than {OPSET}"
