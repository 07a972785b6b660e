"""Transformer translation from the files of HAT (latencies, published networks) and HELP (four networks).

Not there, because they are in no file but a page: parameters, FLOPs and SacreBLEU of HAT's networks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.datasets.convert.files import ConversionError, csv_gz, json_file, read_csv, reference

_LATENCIES = ("latency_mean_encoder", "latency_mean_decoder", "latency_std_encoder", "latency_std_decoder")
_HARDWARE = {
    "titanxp": "Nvidia TITAN Xp GPU",
    "raspberrypi": "Raspberry Pi ARM Cortex-A72 CPU",
    "xeon": "Intel Xeon E5-2640 CPU",
}
_HAT_NAME = re.compile(r"HAT_[a-z0-9]+_([a-z]+)@([\d.]+m?s)_bleu@([\d.]+)")
_HELP_NAME = re.compile(r"wmt14ende_help_([a-z0-9]+)@([\d.]+)ms")
_SUFFIX = "-subtransformer"


def convert(source: Callable[[str], Path], paths: Sequence[str]) -> dict[str, bytes]:
    """The files of `hat/`. Raises ConversionError."""
    made = {
        f"{Path(path).stem.removesuffix('_all')}.csv.gz": _latencies(source(path))
        for path in paths
        if path.startswith("latency_dataset/")
    }
    hat = [_hat_network(source(p)) for p in paths if p.startswith("configs/")]
    help_ = [_help_network(source(p)) for p in paths if p.startswith("data/hat/")]
    made["subtransformers.json"] = json_file({"hat": hat, "help": help_})
    made["reference.json"] = json_file(reference()["hat"])
    return made


def _latencies(path: Path) -> bytes:
    header = [*reference()["hat"]["features"], *_LATENCIES]
    rows = read_csv(path)
    if not rows or rows[0] != header or len(rows) < 2:
        raise ConversionError(f"{path.name} has not the columns {', '.join(header)}")
    try:
        numbers = [[float(value) for value in row] for row in rows[1:]]
        if not all(len(row) == len(header) and all(map(math.isfinite, row)) for row in numbers):
            raise ValueError("a row is cut off, or holds no finite number")
    except ValueError as error:
        raise ConversionError(f"{path.name} is no table of numbers: {error}") from error
    return csv_gz(header, ([f"{value:.7g}" for value in row] for row in numbers))


def _config(path: Path) -> dict[str, Any]:
    """A network's decisions by name, the suffix that all of them have left out."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name.removesuffix(_SUFFIX): value for name, value in content.items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, AttributeError) as error:
        raise ConversionError(f"{path.name} is no network: {' '.join(str(error).split())}") from error


def _hat_network(path: Path) -> dict[str, Any]:
    match = _HAT_NAME.fullmatch(path.stem)
    if match is None or match[1] not in _HARDWARE:
        raise ConversionError(f"{path.name} has no hardware, latency and BLEU in its name")
    return {
        "name": path.stem,
        "task": path.parent.parent.name,
        "config": _config(path),
        "hardware": _HARDWARE[match[1]],
        "latency": match[2],
        "bleu": float(match[3]),
    }


def _help_network(path: Path) -> dict[str, Any]:
    match = _HELP_NAME.fullmatch(path.stem)
    if match is None:
        raise ConversionError(f"{path.name} has no hardware and latency in its name")
    return {
        "name": path.stem,
        "task": "wmt14.en-de",
        "hardware": match[1],
        "latency_ms": float(match[2]),
        "bleu": reference()["help_bleu"].get(path.stem),
        "config": _config(path),
    }
