"""The published once-for-all supernetworks, read by the names of their tensors.

The authors offer `ofa_mbv3_d234_e346_k357_w1.0` and `_w1.2` as files of PyTorch, a dictionary with one entry
`state_dict`. Their package `ofa` renamed modules between versions; both namings are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modnas.core.bounded import check_torch_file
from modnas.core.supernetwork import Supernetwork
from modnas.core.weights import named, set_weights

# Bytes of a file, unpacked; the larger of the two has under 100 MB.
_LARGEST = 1 << 30

# Where a file has its weights, if it has something else besides.
_ENTRIES = ("state_dict", "model_state_dict", "model")
# What is put before all names by `DataParallel`, `torch.compile` and training programs.
_WRAPPERS = {"module", "_orig_mod", "model"}
_PARTS = {"inverted_bottleneck": "expand", "depth_conv": "depthwise", "point_linear": "project"}
_BLOCK = re.compile(r"blocks\.(\d+)\.(?:mobile_inverted_conv|conv)\.(\w+)\.(.+)")
_LAYER = re.compile(r"(conv|bn)\.(?:\1\.)?(\w+)")  # elastic layers have `conv.conv.weight`, `bn.bn.bias`
_KERNEL_MATRIX = re.compile(r"conv\.[75]to([53])_matrix")


def own_name(published: str) -> str:
    """The name in an `ElasticNetwork` of a published tensor. Raises ValueError for an unknown one."""
    first, _, rest = published.partition(".")
    if first == "classifier":
        return f"head.6.{rest.removeprefix('linear.').removeprefix('linear.')}"
    if published == "feature_mix_layer.conv.weight":
        return "head.3.weight"
    outside = {"first_conv": "stem.0", "final_expand_layer": "head.0"}.get(first)
    if outside is not None:
        return f"{outside}.{_layer_name(rest, published)}"
    match = _BLOCK.fullmatch(published)
    if match is None or match[2] not in _PARTS:
        raise ValueError(f"no place for {published!r}")
    return _name_in_block(int(match[1]), match[2], match[3], published)


def _name_in_block(number: int, part: str, rest: str, published: str) -> str:
    block = "stem.2" if number == 0 else f"blocks.{number - 1}.full"
    matrix = _KERNEL_MATRIX.fullmatch(rest)
    if matrix is not None:
        return f"blocks.{number - 1}.to{matrix[1]}"
    if rest.startswith("se.fc."):
        return f"{block}.squeeze_excite.{rest.removeprefix('se.fc.')}"
    return f"{block}.{_PARTS[part]}.{_layer_name(rest, published)}"


def _layer_name(rest: str, published: str) -> str:
    match = _LAYER.fullmatch(rest)
    if match is None:
        raise ValueError(f"no place for {published!r}")
    return f"{'conv' if match[1] == 'conv' else 'norm'}.{match[2]}"


def load_published(supernetwork: Supernetwork, state: Mapping[str, Tensor]) -> None:
    """Take over a published state dict.

    Args:
        supernetwork: of the space with its width (`width_percent` 100 or 120), 1,000 classes, 3 channels.

    Raises:
        ValueError: a tensor is missing, unknown or of another shape.
    """
    _set_placed(supernetwork, _placed(state))


def _set_placed(supernetwork: Supernetwork, placed: Mapping[str, Tensor]) -> None:
    # How many batches were counted decides nothing, and the oldest files do not say it.
    counts = {n: t for n, t in supernetwork.state_dict().items() if n.endswith("num_batches_tracked")}
    set_weights(supernetwork, {**counts, **placed})


def _placed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their own names. Raises ValueError for all that have none, or share one."""
    placed: dict[str, Tensor] = {}
    without: list[str] = []
    for published, tensor in state.items():
        try:
            name = own_name(published)
        except ValueError:
            without.append(repr(published))
            continue
        if name in placed:
            without.append(f"another {published!r}")
        placed[name] = tensor
    if without:
        raise ValueError(f"no place for {named(without)}")
    return placed


def load_published_file(supernetwork: Supernetwork, path: Path) -> int:
    """`load_published` from a file. Nothing but tensors is unpickled.

    Returns how many entries beside the weights the file has.

    Raises:
        ValueError: the file cannot be read, or is of another network.
    """
    placed, others = read_published_file(path)
    _set_placed(supernetwork, placed)
    return others


def read_published_file(path: Path) -> tuple[dict[str, Tensor], int]:
    """The weights in a published file by their names in an `ElasticNetwork`, and how much else it has.

    They may be in an entry `state_dict` or, as other programs write it, `model_state_dict` or `model`, and
    have the names of a network in a wrapper (`module.`, `_orig_mod.`).

    Raises:
        ValueError: the file cannot be read, or a tensor has no place in such a network.
    """
    try:
        check_torch_file(path, _LARGEST)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        inner = (content.get(name) for name in _ENTRIES)
        state = next((entry for entry in inner if isinstance(entry, Mapping)), content)
        tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # a damaged or foreign file fails in a dozen ways
        reason = str(error).partition("\n")[0]
        raise ValueError(f"no published supernetwork that can be read: {reason}") from error
    others = len(state) - len(tensors) + (len(content) - 1 if state is not content else 0)
    return _placed(_bare(tensors)), others


def _bare(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors without a wrapper's name before all of theirs."""
    while (wrapper := {name.partition(".")[0] for name in tensors}) <= _WRAPPERS and len(wrapper) == 1:
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return tensors
