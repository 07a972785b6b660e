"""HAT's published data: latencies of 2,000 sampled transformers on three devices, and networks with BLEU.

A latency's row has ten averages over layers, not the layers' own choices: it cannot be turned into an
architecture, so these tables are no table devices.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.commands import fetching
from harness.core.errors import UsageError
from harness.core.home import read_kept
from harness.core.system_errors import told
from harness.datasets.packed import read_csv_gz
from modnas.core.bounded import TooLargeError
from modnas.spaces.transformer.plan import Plan, from_hat

Floats = NDArray[np.float64]
# The paper's split (table 3): searched on the first two.
SEARCH_DEVICES = ("gpu_titanxp", "cpu_xeon")
UNSEEN_DEVICES = ("cpu_raspberrypi",)
TASK = "wmt14.en-de"


@dataclass(frozen=True)
class LatencyTable:
    """One device: `features` (n, 10) as `hat_features` has them, `latency_ms` (n,) of encoder and decoder
    together, in the order in which they were measured."""

    device: str
    features: Floats
    latency_ms: Floats


@dataclass(frozen=True)
class Published:
    """A network from a paper.

    `source`: hat or help; `hardware`: what it was searched for; `bleu`: on its task's test set.
    """

    name: str
    source: str
    task: str
    hardware: str
    plan: Plan
    bleu: float


@dataclass(frozen=True)
class HatTables:
    """All of it; `tables` by device."""

    tables: dict[str, LatencyTable]
    published: tuple[Published, ...]

    def of_task(self, source: str, task: str = TASK) -> list[Published]:
        """What a paper publishes for a task."""
        return [p for p in self.published if (p.source, p.task) == (source, task)]


def load(data: Path) -> HatTables:
    """Read `hat/` of the folder. Raises UsageError when something is missing or damaged, or TooLargeError."""
    folder = data / "hat"
    try:
        names = json.loads(read_kept(folder / "reference.json"))["features"]
        tables = {d: _table(folder, d, names) for d in (*SEARCH_DEVICES, *UNSEEN_DEVICES)}
        networks = json.loads(read_kept(folder / "subtransformers.json"))
        published = tuple(_published(source, row) for source in ("hat", "help") for row in networks[source])
    except FileNotFoundError as error:
        raise UsageError(
            f"{data} holds no tables of HAT: {error.filename} is missing; get them with: "
            f"{fetching('hat', data)}"
        ) from error
    except TooLargeError:
        raise
    except Exception as error:  # csv, gzip and zlib raise a dozen kinds for a damaged file
        raise UsageError(f"the tables of HAT in {folder} cannot be read: {told(error)}") from error
    return HatTables(tables, published)


def _table(folder: Path, device: str, names: list[str]) -> LatencyTable:
    rows = read_csv_gz(folder / f"wmt14ende_{device}.csv.gz")
    features = np.array([[float(row[name]) for name in names] for row in rows])
    parts = ("latency_mean_encoder", "latency_mean_decoder")
    return LatencyTable(device, features, np.array([sum(float(row[part]) for part in parts) for row in rows]))


def _published(source: str, row: dict[str, Any]) -> Published:
    hardware = re.sub(r"[^a-z0-9]", "", str(row["hardware"]).lower())
    return Published(row["name"], source, row["task"], hardware, from_hat(row["config"]), float(row["bleu"]))
