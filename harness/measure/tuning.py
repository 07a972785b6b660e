"""Tuning TVM for a device: the distinct operators of a whole space, once, into one database.

The database lies in `MODNAS_HOME/tuning/<device>-<space>-<variant>-<target>/`: MetaSchedule's JSON files, and
`tasks.json` with how many schedules of which operator were tried. Every compilation for the device uses them.
`networks.json` lists the architectures whose operators are those of the space.
Candidates are timed by the agent on the device, like networks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.backends.tvm_exporter import TvmExporter, tuning_folder
from harness.core.errors import UsageError, needed
from harness.core.home import read_kept, write_atomically
from harness.core.lock import locked
from harness.devices.profile import DeviceProfile
from harness.export import ArtifactCache
from harness.export.prefetch import Prefetcher
from harness.export.tvm.compiler import Frame
from harness.export.tvm.errors import CompileError
from harness.measure.control import Control
from harness.measure.session import DeviceSession
from modnas.spaces import Architecture, Space

# Operators are collected until this many architectures in a row bring none that is new.
BARREN = 12
MOST_ARCHITECTURES = 400
# How a candidate is timed: it has to be told from others, not to be known to a percent.
CANDIDATE_POLICY = {
    "precision": 0.03,
    "warmup_s": 0.01,
    "min_time_s": 0.005,
    "max_time_s": 0.1,
    "min_samples": 10,
    "timeout_s": 10.0,
    "memory_limit_mb": 2048,
}


@dataclass
class TuningReport:
    """What a call of `tune` did. `best_ms`: the fastest schedule of each operator tuned now."""

    device: str
    folder: Path
    target: dict[str, Any]
    tasks: dict[str, str] = field(default_factory=dict)
    tuned: int = 0
    reused: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    trials: int = 0
    best_ms: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Operators that still want tuning."""
        return len(self.tasks) - self.tuned - self.reused - len(self.failed)


OnTask = Callable[[str, TuningReport], None]


def tune(
    profile: DeviceProfile,
    space: Space,
    trials: int,
    *,
    seed: int = 0,
    limit_s: float | None = None,
    on_task: OnTask | None = None,
) -> TuningReport:
    """Tune what the database does not have yet.

    Args:
        trials: schedules to try of each operator.
        limit_s: begin no second operator after this time; the same call continues.
        on_task: called with an operator's name after it was tuned or failed.

    Raises:
        UsageError: the profile's backend is not tvm.
        InUseError: another process is tuning into the same database.
        CompilerMissingError: this machine has no TVM.
        DeviceUnavailableError: the device is or goes away; what was tuned before is kept.
    """
    if profile.backend != "tvm":
        raise UsageError(f"device {profile.id} has backend {profile.backend}; only tvm is tuned")
    start, cache = time.monotonic(), ArtifactCache()
    with (
        DeviceSession(profile) as session,
        closing(TvmExporter(cache, profile)) as exporter,
        Prefetcher(exporter, space, profile.batch, [], parallel=False) as files,
        ExitStack() as held,
    ):
        # Before tuning: while it goes on, the compiler answers nothing else.
        control = Control(session, files)
        control.prepare()
        target = exporter.target
        folder = tuning_folder(profile, space, target)
        folder.mkdir(parents=True, exist_ok=True)
        held.enter_context(locked(folder, f"tuning database {folder.name}"))
        report = TuningReport(profile.id, folder, target)
        done = _Progress(folder / "tasks.json")
        collector = _Collector(exporter, cache, space, profile.batch)
        report.tasks = collector.collect(folder / "networks.json", seed)
        for key, name in report.tasks.items():
            if done.trials(key) >= trials:
                report.reused += 1
                continue
            begun = report.tuned + len(report.failed) > 0
            if begun and limit_s is not None and time.monotonic() - start > limit_s:
                break
            request = {"op": "tune", "task": key, "seed": seed, "folder": str(folder)}
            request["trials"] = trials - done.trials(key)
            try:
                with needed("tune"):
                    found = exporter.compiler.ask(request, _Bench(session, control).answer)
            except CompileError as error:  # MetaSchedule crashes now and then: the others go on
                control.believe_making(error)
                report.failed[key] = str(error)
                collector.repeat()
            else:
                report.tuned += 1
                report.trials += found["tried"]
                if found["best_ms"] is not None:
                    report.best_ms[key] = found["best_ms"]
                done.add(key, trials)
            if on_task:
                on_task(name, report)
    report.seconds = time.monotonic() - start
    return report


class _Progress:
    """Trials made of every operator, on disk after each. Files that cannot be read count as none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._trials: dict[str, int] = {k: int(v) for k, v in json.loads(read_kept(path)).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self._trials = {}

    def trials(self, key: str) -> int:
        return self._trials.get(key, 0)

    def add(self, key: str, trials: int) -> None:
        self._trials[key] = trials
        write_atomically(self._path, json.dumps(self._trials, indent=1))


class _Collector:
    """Shows networks to the compiler until it knows the operators of the whole space."""

    def __init__(self, exporter: TvmExporter, cache: ArtifactCache, space: Space, batch: int) -> None:
        self._compiler, self._target = exporter.compiler, exporter.target
        self._cache, self._space, self._batch = cache, space, batch
        self._useful: list[Architecture] = []

    def collect(self, known: Path, seed: int) -> dict[str, str]:
        """Key and name of every distinct operator, in the order met.

        `known` is the file that keeps which architectures have them all: the first of several operators that
        share a schedule stands for the others, so that the order must stay.
        """
        try:
            self._useful = [self._space.parse(text) for text in json.loads(read_kept(known))]
        except (FileNotFoundError, ValueError, TypeError):  # not there, or damaged: the same are found again
            return self._explore(known, seed)
        return self.repeat()

    def repeat(self) -> dict[str, str]:
        """Show the networks that count, to a compiler that was started anew."""
        return {key: name for cell in self._useful for key, name in self._show(cell).items()}

    def _explore(self, known: Path, seed: int) -> dict[str, str]:
        tasks: dict[str, str] = {}
        barren = 0
        for architecture in self._architectures(seed):
            new = self._show(architecture)
            tasks |= new
            barren = 0 if new else barren + 1
            if new:
                self._useful.append(architecture)
            if barren >= BARREN:
                break
        write_atomically(known, json.dumps([architecture.string for architecture in self._useful], indent=1))
        return tasks

    def _show(self, architecture: Architecture) -> dict[str, str]:
        path = self._cache.get(self._space, architecture, self._batch).path
        found = self._compiler.ask({"op": "collect", "model": str(path), "target": self._target})
        tasks: dict[str, str] = found["tasks"]
        return tasks

    def _architectures(self, seed: int) -> list[Architecture]:
        """The references and random ones."""
        generator = torch.Generator().manual_seed(seed)
        return [*self._space.references, *self._space.sample(MOST_ARCHITECTURES, generator)]


class _Bench:
    """Times candidates on an open device."""

    def __init__(self, session: DeviceSession, control: Control) -> None:
        self._session, self._control = session, control

    def answer(self, asked: Frame) -> Frame:
        """Seconds a call, or why there are none. Raises DeviceUnavailableError as for a network."""
        pairs = enumerate(zip(asked["shapes"], asked["dtypes"], strict=True))
        inputs = [{"name": str(n), "shape": shape, "dtype": dtype} for n, (shape, dtype) in pairs]
        result = self._session.measure_kernel(
            Path(asked["library"]), asked["entry"], inputs, CANDIDATE_POLICY
        )
        if result["status"] != "ok":
            self._control.believe(result)
            return {"failed": f"{result.get('reason')}: {result.get('message')}"}
        return {"seconds": result["latency"]["median_ms"] / 1e3}
