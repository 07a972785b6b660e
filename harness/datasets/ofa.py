"""The tables of the once-for-all MobileNetV3 space: 5,000 networks measured on 12 devices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.commands import fetching
from harness.core.errors import UsageError
from harness.core.system_errors import told
from harness.datasets.packed import read_npz
from modnas.core.bounded import TooLargeError
from modnas.spaces import Architecture
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.accuracy import AccuracyModel


@dataclass(frozen=True)
class OfaTables:
    """Every array has one entry a network, in the order of `architectures`.

    Args:
        space: the networks' size: width 1.2, 1,000 classes, inputs of 128 to 224 pixels.
        latency_ms: by device.
        accuracy: error by once-for-all's accuracy predictor.
        reference: `reference.json`: reference networks, device splits, published networks.
    """

    space: MobileNetV3
    architectures: tuple[Architecture, ...]
    latency_ms: Mapping[str, NDArray[np.float64]]
    accuracy: AccuracyModel
    reference: Mapping[str, Any]


def load(data: Path) -> OfaTables:
    """Read `data/ofa`. Raises UsageError when a file is missing or damaged, or TooLargeError."""
    folder, space = data / "ofa", MobileNetV3()
    try:
        arrays = read_npz(folder / "archs_latency.npz")
        rows = zip(*(arrays[name].tolist() for name in ("ks", "e", "d", "r")), strict=True)
        return OfaTables(
            space=space,
            architectures=tuple(space.from_lists(*row) for row in rows),
            latency_ms={
                name.removeprefix("lat_"): values.astype(np.float64)
                for name, values in arrays.items()
                if name.startswith("lat_")
            },
            accuracy=AccuracyModel(space, read_npz(folder / "acc_predictor.npz")),
            reference=json.loads((folder / "reference.json").read_text(encoding="utf-8")),
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"{data} holds no once-for-all tables: {error.filename} is missing; get them with: "
            f"{fetching('ofa', data)}"
        ) from error
    except TooLargeError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds for a damaged file
        raise UsageError(f"the once-for-all tables in {folder} cannot be read: {told(error)}") from error
