"""What is kept of measuring in the loop, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from harness.core.errors import ModnasHwError
from harness.runs import loop_record
from harness.runs.run import Run, RunConfig
from harness.store.metrics import get_metric
from modnas.prediction import DeviceTable
from modnas.spaces import Space
from modnas.spaces.nasbench201.presets import PRESETS

LATENCY, ENERGY = get_metric("latency"), get_metric("energy")


@pytest.fixture
def run() -> Run:
    return Run.start(
        RunConfig(
            space="nasbench201",
            task="digits",
            devices=("a", "b"),
            objectives=("error", "latency", "energy"),
            preset="quick",
            settings=PRESETS["quick"],
            measure=4,
        )
    )


def network(space: Space, number: int, **fields: Any) -> Any:
    arch = space.references[number].id
    return {"arch": arch, "predicted": {"latency_ms": 1.0, "energy_mj": 2.0}, **fields}


def a_round(epoch: int, **networks: Any) -> Any:
    return {"epoch": epoch, "devices": {d: {"networks": n, "agreement": {}} for d, n in networks.items()}}


def test_tables_grow_by_what_was_measured(run: Run, space: Space) -> None:
    features = np.linspace(1, 2, 10)
    known = [
        DeviceTable("a", features, space.references[:2], [1.5, 2.5], [0.1, 0.0]),
        DeviceTable("b", features, space.references[:1], [0.1 + 0.2]),
    ]
    loop_record.write_known(run, {"latency": known, "energy": known}, {"a": ("f", "torch", "{}")})
    both = {"latency_ms": 3.25, "energy_mj": 7.0}
    loop_record.add_round(
        run,
        a_round(2, a=[network(space, 4, measured=both, deviation={"latency_ms": 0.5})], b=[]),
    )
    loop_record.add_round(
        run,
        a_round(
            4,
            a=[network(space, 5, measured={"latency_ms": 4.0}), network(space, 6, failure="it crashed")],
            b=[network(space, 7, measured=both)],
        ),
    )
    a, b = loop_record.known_tables(run, space, LATENCY)
    assert (a.name, list(a.architectures)) == ("a", [space.references[n] for n in (0, 1, 4, 5)])
    assert list(np.asarray(a.values)) == [1.5, 2.5, 3.25, 4.0]
    assert list(np.asarray(a.deviations)) == [0.1, 0.0, 0.5, 0.0]
    assert np.array_equal(a.features, features)
    assert list(np.asarray(b.values)) == [0.1 + 0.2, 3.25], "to the last bit"
    energies = loop_record.known_tables(run, space, ENERGY)
    assert list(np.asarray(energies[0].values)) == [1.5, 2.5, 7.0]
    assert loop_record.values_of([a, energies[0]])[space.references[4]] == (3.25, 7.0)
    assert space.references[5] not in loop_record.values_of([a, energies[0]])
    assert [one["arch"] for one in loop_record.networks(run, "a")] == [
        space.references[n].id for n in (4, 5, 6)
    ]
    assert loop_record.state_of(run, "a") == ("f", "torch", "{}")


def test_there_are_no_rounds_before_the_first(run: Run) -> None:
    assert loop_record.rounds(run) == [] == loop_record.networks(run, "a")


def test_damaged_rounds_are_named(run: Run) -> None:
    (run.path / "in-the-loop.json").write_text("[{")
    with pytest.raises(ModnasHwError, match=r"in-the-loop\.json is damaged"):
        loop_record.rounds(run)


def test_how_far_predictions_were_off(space: Space) -> None:
    values = [1.25, 2.0, 4.0]
    networks = [network(space, n, measured={"latency_ms": value}) for n, value in enumerate(values)]
    for one, guess in zip(networks, (1.0, 2.2, 3.0), strict=True):
        one["predicted"]["latency_ms"] = guess
    networks.append(network(space, 4, failure="it crashed"))
    found = loop_record.agreement(networks, LATENCY)
    assert found is not None
    assert found["median_error"] == pytest.approx(0.2) and found["spearman"] == pytest.approx(1.0)
    two = loop_record.agreement(networks[:2], LATENCY)
    assert two is not None and two["spearman"] is None, "two say nothing of an order"
    assert loop_record.agreement(networks[3:], LATENCY) is None
    equal = [network(space, n, measured={"latency_ms": 1.0}) for n in range(4)]
    assert json.loads(json.dumps(loop_record.agreement(equal, LATENCY))) == {
        "median_error": 0.0,
        "spearman": None,
    }
