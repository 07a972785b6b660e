"""The once-for-all MobileNetV3 space from the files of HELP, and once-for-all's accuracy predictor."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.datasets.convert.files import (
    ConversionError,
    json_file,
    load_torch,
    npz,
    reference,
    torch_column,
)

_HELP = "data/ofa"
# Decisions of one network: kernel sizes and expansions of 20 blocks, depths of 5 stages.
_CHOICES = {"ks": (20, {3, 5, 7}), "e": (20, {3, 4, 6}), "d": (5, {2, 3, 4})}
_LAYERS = ((400, 128), (400, 400), (400, 400), (1, 400))
_PUBLISHED = re.compile(r"latency_([\d.]+)ms_accuracy_([\d.]+)")


def convert(source: Callable[[str], Path], paths: Sequence[str]) -> dict[str, bytes]:
    """The files of `ofa/`. Raises ConversionError."""
    archs = _archs(source(f"{_HELP}/ofa_archs.pt"))
    count = len(archs["r"])
    latency = {
        f"lat_{Path(path).stem}": torch_column(source(path), count)
        for path in paths
        if path.startswith(f"{_HELP}/latency/")
    }
    published = [_published(source(p)) for p in paths if p.startswith(f"{_HELP}/architecture_config/")]
    return {
        "archs_latency.npz": npz({**archs, **latency}),
        "acc_predictor.npz": npz(_predictor(source("ofa/acc_predictor.pth"))),
        "reference.json": json_file({**reference()["ofa"], "published_help_nets": published}),
    }


def _archs(path: Path) -> dict[str, NDArray[Any]]:
    content = load_torch(path)
    try:
        networks = [_network(network) for network in content["arch"]]
        if not networks:
            raise ValueError("no network")
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"{path.name} is no list of networks: {error}") from error
    arrays: dict[str, NDArray[Any]] = {
        name: np.array([network[name] for network in networks], dtype=np.int8) for name in _CHOICES
    }
    arrays["r"] = np.array([network["r"] for network in networks], dtype=np.int16)
    return arrays


def _network(content: Mapping[str, Any]) -> dict[str, Any]:
    """One network's decisions as plain integers. Raises KeyError, TypeError and ValueError."""
    network: dict[str, Any] = {}
    for name, (length, options) in _CHOICES.items():
        network[name] = [int(choice) for choice in content[name]]
        if len(network[name]) != length or not set(network[name]) <= options:
            raise ValueError(f"{name} is {network[name]}")
    size = content["r"]
    network["r"] = int(size[0] if isinstance(size, (list, tuple)) else size)
    if not 128 <= network["r"] <= 224:
        raise ValueError(f"r is {network['r']}")
    return network


def _published(path: Path) -> dict[str, Any]:
    """One network that HELP publishes; its file name has latency (ms) and ImageNet top-1 (percent)."""
    match = _PUBLISHED.match(path.stem)
    try:
        if match is None:
            raise ValueError("the name has no latency and accuracy")
        network = _network(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"{path.name} is no network: {error}") from error
    return {
        "device": path.parent.name,
        "latency_ms": float(match[1]),
        "imagenet_top1": float(match[2]),
        **network,
    }


def _predictor(path: Path) -> dict[str, NDArray[np.float32]]:
    """Weights and biases of the four layers, in the order of the file."""
    content = load_torch(path)
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = [np.asarray(value, dtype=np.float32) for value in content.values() if hasattr(value, "numpy")]
    shapes = [shape for layer in _LAYERS for shape in (layer, layer[:1])]
    if [tensor.shape for tensor in tensors] != shapes:
        raise ConversionError(f"{path.name} does not hold the layers 128-400-400-400-1")
    names = [f"{kind}{layer}" for layer in range(len(_LAYERS)) for kind in "wb"]
    return dict(zip(names, tensors, strict=True))
