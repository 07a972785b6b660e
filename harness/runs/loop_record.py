"""What a search that measures while it runs keeps, so that it follows from what is kept how it goes on.

known.json        what the predictors were first fitted on, by metric and device, and which state of each
                  device that is of
in-the-loop.json  the rounds of measuring: after how many epochs, and of each device what was predicted of the
                  networks before they were measured, and what they took

What is measured meanwhile for others changes nothing of a search that has begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.runs.results import LoopNetwork, LoopRound
from harness.runs.run import Run
from harness.store.metrics import HardwareMetric
from modnas.prediction import DeviceTable
from modnas.prediction.metrics import spearman
from modnas.spaces import Architecture, Space

_KNOWN, _ROUNDS = "known.json", "in-the-loop.json"
_FEWEST = 3  # networks without which a rank correlation says nothing

# What identifies the state of a device that values are of (see `training_sets.conditions`).
Conditions = Sequence[str]


def write_known(
    run: Run, tables: Mapping[str, Iterable[DeviceTable]], states: Mapping[str, Conditions]
) -> None:
    """Keep what the predictors are fitted on at first.

    Args:
        tables: by metric.
        states: of the devices that are measured.
    """
    documents = {metric: {t.name: _document(t) for t in several} for metric, several in tables.items()}
    run.write_json(_KNOWN, {"tables": documents, "states": {d: list(s) for d, s in states.items()}})


def _document(table: DeviceTable) -> dict[str, Any]:
    known = table.deviations
    return {
        "references": np.asarray(table.features).tolist(),
        "archs": [a.string for a in table.architectures],
        "values": np.asarray(table.values).tolist(),
        "deviations": None if known is None else np.asarray(known).tolist(),
    }


def rounds(run: Run) -> list[LoopRound]:
    """The rounds that are done, in order."""
    found: list[LoopRound] = run.read_json(_ROUNDS) if run.has(_ROUNDS) else []
    return found


def add_round(run: Run, done: LoopRound) -> None:
    """Keep one more round."""
    run.write_json(_ROUNDS, [*rounds(run), done])


def state_of(run: Run, device: str) -> tuple[str, ...]:
    """The state that a measured device was in when it was profiled for the run."""
    return tuple(run.read_json(_KNOWN)["states"][device])


def networks(run: Run, device: str) -> list[LoopNetwork]:
    """All networks that were sent to a device while the search ran."""
    return [one for done in rounds(run) for one in done["devices"].get(device, {"networks": []})["networks"]]


def known_tables(run: Run, space: Space, metric: HardwareMetric) -> list[DeviceTable]:
    """All that is known of a metric on the run's devices, with what was measured while the search ran."""
    documents = run.read_json(_KNOWN)["tables"][metric.name]
    return [_table(run, space, metric, device, documents[device]) for device in run.config.devices]


def _table(
    run: Run, space: Space, metric: HardwareMetric, device: str, document: Mapping[str, Any]
) -> DeviceTable:
    added = [one for one in networks(run, device) if metric.key in one.get("measured", {})]
    deviations = document["deviations"] or [0.0] * len(document["archs"])
    return DeviceTable(
        device,
        document["references"],
        [
            space.parse(text)
            for text in [*document["archs"], *(one["arch"].partition(":")[2] for one in added)]
        ],
        [*document["values"], *(one["measured"][metric.key] for one in added)],
        [*deviations, *(one.get("deviation", {}).get(metric.key, 0.0) for one in added)],
    )


def values_of(tables: Iterable[DeviceTable]) -> dict[Architecture, tuple[float, ...]]:
    """Values by architecture, one a metric, of those that have them all; `tables`: of one device."""
    columns = [
        dict(zip(table.architectures, np.asarray(table.values).tolist(), strict=True)) for table in tables
    ]
    return {a: tuple(column[a] for column in columns) for a in columns[0] if all(a in c for c in columns)}


def agreement(found: Sequence[LoopNetwork], metric: HardwareMetric) -> dict[str, float | None] | None:
    """How far predictions were off before networks were measured; None where none has a value.

    Returns:
        `median_error`, relative, and `spearman`; None where there are too few to say, or all are equal.
    """
    key = metric.key
    pairs = [(one["predicted"][key], one["measured"][key]) for one in found if key in one.get("measured", {})]
    if not pairs:
        return None
    predicted, measured = np.array(pairs).T
    differ = len(pairs) >= _FEWEST and np.ptp(predicted) > 0 and np.ptp(measured) > 0
    return {
        "median_error": float(np.median(np.abs(predicted / measured - 1))),
        "spearman": spearman(predicted, measured) if differ else None,
    }
