"""A search that measures while it runs: what it measures, what it learns, how it goes on after a break."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness_helpers import TINY, FakeAgent, OpenWith
from numpy.typing import NDArray

from harness import Note, Study
from harness.cli import main
from harness.core.errors import DeviceUnavailableError, UsageError
from harness.measure import fleet
from harness.runs import in_the_loop, loop_record
from harness.runs.continuing import continuing
from harness.runs.run import Run, RunConfig
from harness.runs.search import open_search
from harness.store import Store
from harness.transport.base import TransportClosedError
from modnas.core.preset import Preset
from modnas.search import Search
from modnas.spaces import Architecture, Space
from modnas.spaces.nasbench201.presets import PRESETS

WORK = np.array([0.0, 0.2, 1.0, 2.5, 0.4])
GAINS = np.array([0.0, 2.0, 7.0, 9.0, 5.0])


def errors(architectures: list[Architecture]) -> NDArray[np.float64]:
    """Fall with each operator."""
    return np.array([90 - sum(GAINS[choice] for choice in a.choices) for a in architectures])


@pytest.fixture
def preset(monkeypatch: pytest.MonkeyPatch, tiny_preset: str) -> str:
    """A search of six epochs that looks at some 100 networks."""
    settings = {"epochs": 6, "steps_per_epoch": 1, "hypernetwork": "paper", "learning": "gradients"}
    changed = {"search": {**settings, "bank": 3, "intervals": 4}, "refine": 60, "validate_every": 3}
    monkeypatch.setitem(PRESETS, "tiny", PRESETS[tiny_preset].model_copy(update=changed))
    return "tiny"


@pytest.fixture
def table(tmp_path: Path, space: Space) -> str:
    """A table device that has half of the cells."""
    cells = [*space.references, *space.sample(40, torch.Generator().manual_seed(0))]
    cells = list(dict.fromkeys([*cells, *(c for c in space.all() if sum(c.choices) % 2)]))
    work = [2 + sum(WORK[choice] for choice in cell.choices) for cell in cells]
    lines = [
        f"{c.string},{w * (1.5 if c.choices[0] == 3 else 1)}\n" for c, w in zip(cells, work, strict=True)
    ]
    file = tmp_path / "table.csv"
    file.write_text("arch,value\n" + "".join(lines))
    assert main(["dataset", "import", str(file), "--device", "tab", *TINY]) == 0
    return "tab"


def study(preset: str, devices: str, measure: int, name: str = "mine", **options: Any) -> Study:
    return Study(
        devices=devices,
        preset=preset,
        accuracy=errors,
        evaluations=20,
        measure=measure,
        name=name,
        **options,
    )


def in_the_loop_of(run: Path) -> list[Any]:
    found: list[Any] = json.loads((run / "front.json").read_text())["in_the_loop"]
    return found


def archs(rounds: list[Any], device: str) -> list[str]:
    return [one["arch"] for done in rounds for one in done["devices"][device]["networks"]]


@pytest.mark.slow
def test_a_table_is_asked_for_as_many_networks_as_are_wanted(
    preset: str, table: str, home_folder: Path, space: Space
) -> None:
    said: list[str] = []
    with study(
        preset, table, 7, progress=lambda e: said.append(e.text) if isinstance(e, Note) else None
    ) as one:
        one.search()
        rounds = in_the_loop_of(one.folder)
        report = one.report().read_text()
    found = archs(rounds, table)
    assert len(found) == len(set(found)) == 7
    assert [done["epoch"] for done in rounds] == [1, 3, 4]
    with Store() as store:
        (imported,) = store.tables(table)
        known = {a.id for a in space.references}
        for entry in (e for done in rounds for e in done["devices"][table]["networks"]):
            assert entry["measured"] == {"latency_ms": imported.entries[entry["arch"].partition(":")[2]]}
            assert entry["predicted"]["latency_ms"] > 0 and entry["arch"] not in known
        assert not store.devices(space.name, space.variant), "nothing is measured"
    assert sum("networks measured after epoch" in text for text in said) == 3
    assert "measured while the search ran" in report
    epochs = json.loads((home_folder / "runs" / "mine" / "epochs.json").read_text())
    assert [epoch["measured"][table] for epoch in epochs] == [0, 2, 2, 4, 7, 7]


@pytest.mark.slow
def test_the_predictors_know_what_was_measured(preset: str, table: str) -> None:
    with study(preset, table, 6) as one:
        one.search()
        run = Run.open(one.folder.name)
    with Store() as store:
        state = open_search(run, store)
        (device,) = state.search.devices
        entries = loop_record.networks(run, table)
        cells = [state.space.parse(entry["arch"].partition(":")[2]) for entry in entries]
        after = np.abs(device.metrics(state.space, cells)[:, 0] / _measured(entries) - 1)
        before = np.abs(np.array([e["predicted"]["latency_ms"] for e in entries]) / _measured(entries) - 1)
    assert after.mean() < before.mean() / 2


def _measured(entries: list[Any]) -> NDArray[np.float64]:
    return np.array([entry["measured"]["latency_ms"] for entry in entries])


class Killed(BaseException):
    """Nothing catches it."""


# Where the process ends, as it were: at which call of what.
ENDS = {
    "before the second choice": (in_the_loop, "next_networks", 2),
    "before its round is kept": (loop_record, "add_round", 1),
    "before the fit": (in_the_loop, "refit_predictors", 1),
    "in the next epoch": (Search, "_lower_step", 1),
}


def stopping(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int) -> None:
    """End the process at a call of a function."""
    whole = getattr(owner, name)
    calls = Counter[str]()

    def some(*arguments: Any, **options: Any) -> Any:
        calls[name] += 1
        if calls[name] == number:
            raise Killed
        return whole(*arguments, **options)

    monkeypatch.setattr(owner, name, some)


@pytest.mark.slow
def test_a_search_that_was_ended_comes_to_the_same_as_one_that_was_not(
    preset: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study(preset, table, 7, "whole") as whole:
        whole.search()
    for where, end in ENDS.items():
        with monkeypatch.context() as patched, study(preset, table, 7) as one:
            stopping(patched, *end)
            with pytest.raises(Killed):
                one.search()
            kept = json.loads((one.folder / "in-the-loop.json").read_text())
            assert len(kept) == (1 if where in list(ENDS)[:2] else 2), where
            assert not (one.folder / "front.json").exists()
    with study(preset, table, 7) as one:
        one.search()
    for file in ("front.json", "in-the-loop.json"):
        assert (one.folder / file).read_bytes() == (whole.folder / file).read_bytes()


class Dying(FakeAgent):
    """An agent whose device is gone after so many measurements of all agents of the test."""

    left = 0

    def send(self, frame: Mapping[str, Any]) -> None:
        if frame["op"] == "measure":
            if Dying.left == 0:
                raise TransportClosedError("it is gone")
            Dying.left -= 1
        super().send(frame)


def measured_rows(space: Space, device: str) -> Counter[str]:
    with Store() as store:
        return Counter(row.arch for row in store.device_measurements(device, space.name, space.variant))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet that tries again at once."""
    monkeypatch.setattr(fleet, "BACKOFF_S", (0.01,))


@pytest.mark.slow
def test_a_device_measures_each_network_once(
    preset: str, table: str, space: Space, fake_agents: list[FakeAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, study(preset, f"cpu,{table}", 6) as one:
        one.measure()
        profiled = measured_rows(space, "cpu")
        stopping(patched, loop_record, "add_round", 2)
        with pytest.raises(Killed):
            one.search()
    with study(preset, f"cpu,{table}", 6) as one:
        one.search()
        found = archs(in_the_loop_of(one.folder), "cpu")
    rows = measured_rows(space, "cpu")
    assert len(found) == 6 and set(rows.values()) == {1}
    assert {arch.partition(":")[2] for arch in found} == rows.keys() - profiled.keys()
    assert fake_agents


@pytest.mark.slow
def test_a_device_that_goes_away_is_reported_and_the_search_goes_on(
    preset: str, open_with: OpenWith, impatient: None, space: Space
) -> None:
    open_with(lambda profile: Dying())
    Dying.left = 10**6
    said: list[str] = []
    with study(
        preset, "cpu", 6, progress=lambda e: said.append(e.text) if isinstance(e, Note) else None
    ) as one:
        one.fit()
        Dying.left = 4  # an anchor, and three networks in all
        one.search()
        rounds = in_the_loop_of(one.folder)
    reasons = [done["devices"]["cpu"].get("lost") for done in rounds]
    assert "it is gone" in str(reasons[-1])
    assert 0 < len(archs(rounds, "cpu")) < 6
    assert any("goes on without" in text and "it is gone" in text for text in said)


@pytest.mark.slow
def test_what_was_missed_is_measured_when_the_device_is_back(
    preset: str, open_with: OpenWith, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_with(lambda profile: Dying())
    Dying.left = 10**6
    epoch = Search.run_epoch

    def back(search: Search) -> Any:
        Dying.left = 10**6
        return epoch(search)

    with study(preset, "cpu", 6) as one:
        one.fit()
        monkeypatch.setattr(Search, "run_epoch", _gone_after_first(back))
        one.search()
        rounds = in_the_loop_of(one.folder)
    counts = [len(done["devices"]["cpu"]["networks"]) for done in rounds]
    assert "lost" in rounds[0]["devices"]["cpu"] and counts[0] == 0
    assert sum(counts) == 6 and counts[1] == 4


def _gone_after_first(back: Any) -> Any:
    """Epochs after the first of which the device is gone, and back after the next."""

    def run(search: Search) -> Any:
        stats = back(search)
        if search.epoch == 1:
            Dying.left = 0
        return stats

    return run


@pytest.mark.slow
def test_failed_networks_are_told_and_not_tried_again(
    preset: str, open_with: OpenWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(FakeAgent):
        """Networks that are measured in the loop crash, every second one."""

        count = -(10**6)

        def send(self, frame: Mapping[str, Any]) -> None:
            if frame["op"] == "measure":
                Failing.count += 1
                if Failing.count > 0 and Failing.count % 2:
                    self.failing.add(frame["artifact"]["sha256"])
            super().send(frame)

    open_with(lambda profile: Failing())
    with study(preset, "cpu", 6) as one:
        one.fit()
        Failing.count = 1  # the anchor first
        one.search()
        networks = [n for done in in_the_loop_of(one.folder) for n in done["devices"]["cpu"]["networks"]]
    failed = [n for n in networks if "failure" in n]
    assert failed and all("crashed" in n["failure"] and "measured" not in n for n in failed)
    assert len({n["arch"] for n in networks}) == len(networks)


@pytest.mark.slow
def test_latencies_of_a_device_that_has_become_slower_count_less(preset: str, open_with: OpenWith) -> None:
    class Slowing(FakeAgent):
        """Takes longer from some moment on."""

        factor = 1.0

        def send(self, frame: Mapping[str, Any]) -> None:
            super().send(frame)
            if frame["op"] == "measure":
                taken = self.frames[-1]["latency"]
                taken |= {
                    k: v * Slowing.factor for k, v in taken.items() if k.endswith("_ms") and k[0] != "s"
                }
                taken["samples_ms"] = [v * Slowing.factor for v in taken["samples_ms"]]

    open_with(lambda profile: Slowing())
    said: list[str] = []
    with study(
        preset, "cpu", 3, progress=lambda e: said.append(e.text) if isinstance(e, Note) else None
    ) as one:
        one.fit()
        Slowing.factor = 1.25
        one.search()
        found = [done["devices"]["cpu"] for done in in_the_loop_of(one.folder)]
    assert [device["anchor_change"] for device in found] == [pytest.approx(0.25)] * 3
    for entry in (e for device in found for e in device["networks"]):
        assert entry["deviation"]["latency_ms"] == pytest.approx(0.25 * entry["measured"]["latency_ms"])
    assert sum("+25%" in text for text in said) == 3


def test_measuring_is_part_of_what_a_run_is(preset: str) -> None:
    fields = {"space": "nasbench201", "task": "digits", "devices": ("cpu",), "preset": preset}
    plain: Preset = PRESETS[preset]
    without, with_ten = (RunConfig(**fields, settings=plain, measure=n) for n in (0, 10))
    assert "measure" not in without.identity, "runs from before keep their names"
    assert without.default_name != with_ten.default_name
    assert "--measure 10" in continuing(Run.start(with_ten)) != continuing(Run.start(without))


def test_a_number_below_zero_is_refused(preset: str) -> None:
    with pytest.raises(UsageError, match="--measure -1"):
        study(preset, "cpu", -1)
    assert main(["search", "--devices", "cpu", "--preset", preset, "--measure", "-1"]) == 2


@pytest.mark.slow
def test_without_measuring_nothing_of_it_is_kept(preset: str, table: str) -> None:
    with study(preset, table, 0) as one:
        one.search()
        assert "in_the_loop" not in json.loads((one.folder / "front.json").read_text())
        assert not list(one.folder.glob("*loop*")) and not (one.folder / "known.json").exists()


def test_a_device_that_is_not_there_ends_a_search_before_it_begins(preset: str, open_with: OpenWith) -> None:
    def opener(_profile: Any) -> FakeAgent:
        raise DeviceUnavailableError("device cpu: it is off")

    open_with(opener)
    with study(preset, "cpu", 3) as one, pytest.raises(DeviceUnavailableError):
        one.search()
