"""The NAS-Bench-201 tables: 15,625 cells measured on 19 devices and trained on three data sets."""

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
from harness.datasets.packed import read_csv_gz, read_npz
from modnas.core.bounded import TooLargeError

# Metrics other than latency, by device: the array of `energy_reconstructed.npz` that has it.
_ENERGY = {"eyeriss": "eyeriss_energy_mj_cifar10", "fpga": "fpga_energy_mj_cifar10"}


@dataclass(frozen=True)
class NasBench201Tables:
    """Every array has one entry a cell, in the order of `archs` (the official order of NAS-Bench-201).

    Args:
        archs: canonical strings, all 15,625.
        latency_ms: by device.
        energy_mj: by device, for the two that have it.
        metrics: accuracies in percent and other per-cell arrays, by their published names.
        metad2a: indices of the 500 cells that MetaD2A proposes for CIFAR-100, in its order.
        metad2a_scores: its opinion of their accuracy, larger is better.
        reference: `reference.json`: reference cells, device splits, HELP's protocol, exact hypervolumes.
    """

    archs: tuple[str, ...]
    latency_ms: Mapping[str, NDArray[np.float64]]
    energy_mj: Mapping[str, NDArray[np.float64]]
    metrics: Mapping[str, NDArray[Any]]
    metad2a: NDArray[np.int64]
    metad2a_scores: NDArray[np.float64]
    reference: Mapping[str, Any]


def load(data: Path) -> NasBench201Tables:
    """Read `data/nb201`. Raises UsageError when a file is missing or damaged, or TooLargeError."""
    folder = data / "nb201"
    try:
        archs = [row["arch_str"] for row in read_csv_gz(folder / "archs.csv.gz")]
        latency = read_npz(folder / "latency.npz")
        energy = read_npz(folder / "energy_reconstructed.npz")
        proposed = read_csv_gz(folder / "metad2a_candidates.csv.gz")
        return NasBench201Tables(
            archs=tuple(archs),
            latency_ms={name: values.astype(np.float64) for name, values in latency.items()},
            energy_mj={name: energy[array].astype(np.float64) for name, array in _ENERGY.items()},
            metrics=read_npz(folder / "metrics.npz"),
            metad2a=np.array([int(row["index"]) for row in proposed]),
            metad2a_scores=np.array([float(row["metad2a_score"]) for row in proposed]),
            reference=json.loads((folder / "reference.json").read_text(encoding="utf-8")),
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"{data} holds no NAS-Bench-201 tables: {error.filename} is missing; get them with: "
            f"{fetching('nasbench201', data)}"
        ) from error
    except TooLargeError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and csv raise a dozen kinds for a damaged file
        raise UsageError(f"the NAS-Bench-201 tables in {folder} cannot be read: {told(error)}") from error
