"""Files made ahead of need: same files, same errors, one at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from harness.export import Artifact, ExportError
from harness.export.prefetch import Prefetcher
from modnas.spaces import Architecture, Space


class Maker:
    """An exporter that notes who asked for what, and waits where it is told to."""

    tolerance = 1e-3

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.made = threading.Semaphore(0)
        self.busy = threading.Lock()

    def key(self, space: Space) -> dict[str, Any]:
        return {}

    def get(self, space: Space, architecture: Architecture, batch: int) -> Artifact:
        assert self.busy.acquire(blocking=False), "two callers at once"
        try:
            self.asked.append((architecture.string, threading.current_thread().name))
            if architecture == space.references[2]:
                raise ExportError("cannot be written")
            return Artifact(Path(architecture.string), "", (), (0.0,), 0.0)
        finally:
            self.busy.release()
            self.made.release()

    def close(self) -> None:
        return


def test_the_next_file_is_made_while_the_last_is_used(space: Space) -> None:
    order, maker = space.references[:3], Maker()
    with Prefetcher(maker, space, 1, order, parallel=True) as files:
        assert files.get(order[0]).path == Path(order[0].string)
        assert all(maker.made.acquire(timeout=30) for _ in range(2)), "nothing was made ahead"
        assert [name for name, _ in maker.asked] == [a.string for a in order[:2]]
        files.get(space.references[5])  # an anchor in between
        assert files.get(order[1]).path == Path(order[1].string)
        with pytest.raises(ExportError):
            files.get(order[2])
    names = [name for name, _ in maker.asked]
    assert sorted(names) == sorted({a.string for a in (*order, space.references[5])}), "each made once"


def test_nothing_is_made_beside_a_measurement_on_this_machine(space: Space) -> None:
    order, maker = space.references[:3], Maker()
    with Prefetcher(maker, space, 1, order, parallel=False) as files:
        files.get(order[0])
    assert maker.asked == [(order[0].string, threading.current_thread().name)]


def test_leaving_early_drops_what_nobody_waits_for(space: Space) -> None:
    maker = Maker()
    with Prefetcher(maker, space, 1, space.references, parallel=True) as files:
        files.get(space.references[0])
    assert len(maker.asked) <= 2 and not any(t.name.startswith("export") for t in threading.enumerate())
