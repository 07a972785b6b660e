"""The FBNet tables: 5,000 networks measured on 27 devices. The space is a package, `examples/fbnet`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UsageError
from harness.datasets.packed import read_npz
from modnas.core.bounded import TooLargeError
from modnas.core.registry import UnknownNameError
from modnas.spaces import Architecture, Space, get_space

_PREFIX = "latency_ms__"


@dataclass(frozen=True)
class Split:
    """Devices that a predictor may know, and those it is judged on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class FBNetTables:
    """Every array has one entry a network, in the order of `architectures`.

    Args:
        latency_ms: by device.
        references: positions of the space's references.
        splits: F0 to F5 (Akhauri and Abdelfattah, 2024), and HELP's (Lee et al., 2021) as `HELP`.
    """

    space: Space
    architectures: tuple[Architecture, ...]
    latency_ms: Mapping[str, NDArray[np.float64]]
    references: tuple[int, ...]
    splits: Mapping[str, Split]


def load(data: Path) -> FBNetTables:
    """Read `data/fbnet`.

    Raises:
        UsageError: a file is missing or damaged, or the space's package is not installed.
        TooLargeError: a file is.
    """
    folder, space = data / "fbnet", _space()
    try:
        arrays = read_npz(folder / "archs_latency.npz")
        reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
        splits = {n: Split(tuple(s["train"]), tuple(s["test"])) for n, s in reference["splits"].items()}
        first = splits["F0"]
        known = *first.train, "titanx_1", "titanx_32", "titanx_64", "gold_6240"
        splits["HELP"] = Split(known, ("raspi4", "eyeriss", "fpga"))
        return FBNetTables(
            space=space,
            architectures=tuple(space.architecture(row) for row in arrays["archs"].tolist()),
            latency_ms={
                name.removeprefix(_PREFIX): values.astype(np.float64)
                for name, values in arrays.items()
                if name.startswith(_PREFIX)
            },
            references=tuple(int(i) for i in reference["hardware_embedding_index"]),
            splits=splits,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{data} holds no FBNet tables: {error.filename} is missing") from error
    except TooLargeError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds for a damaged file
        raise UsageError(f"the FBNet tables in {folder} cannot be read: {error}") from error


def _space() -> Space:
    try:
        return get_space("fbnet")
    except UnknownNameError as error:
        raise UsageError(
            "the FBNet space is a package of its own; run pip install ./examples/fbnet"
        ) from error
