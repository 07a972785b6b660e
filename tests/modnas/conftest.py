"""Fixtures of the algorithm's tests."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest


class Tables(NamedTuple):
    """NAS-Bench-201's published tables in its official order."""

    strings: list[str]
    metrics: dict[str, np.ndarray]
    latency: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def nb201(data_dir: Path) -> Tables:
    folder = data_dir / "nb201"
    with gzip.open(folder / "archs.csv.gz", "rt") as file:
        strings = [row["arch_str"] for row in csv.DictReader(file)]
    arrays = []
    for name in ("metrics", "latency"):
        with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
            arrays.append({key: archive[key] for key in archive.files})
    return Tables(strings, *arrays)
