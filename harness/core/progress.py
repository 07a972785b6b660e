"""How far work has come, told to whoever wants to know. Nothing here, and nothing that tells, prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Note:
    """Something to say once, in words: a line, or several."""

    text: str


@dataclass(frozen=True)
class Stage:
    """Where a stage of the work stands. Told when it begins, when anything changes, and when it ends.

    Attributes:
        name: what is being done, such as `searching`; stages that run at the same time differ in it.
        unit: what is counted, in the singular: `epoch`, `network`, `arch`, `item`.
        done: how many are done, those of earlier sessions among them.
        total: how many there are; None where that is not known (yet).
        rate: how many a second, None before the first.
        note: what there is to say of the last one; may be empty.
        ended: the stage is over, finished or not; this is the last that is told of it.
    """

    name: str
    unit: str
    done: int = 0
    total: int | None = None
    rate: float | None = None
    note: str = ""
    ended: bool = False


Event = Note | Stage
# Called in the thread that works; what it raises ends the work as an interruption would.
Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Progress that nobody wants to know."""


class RunningStage:
    """A stage that tells of itself; see `stage`."""

    def __init__(self, progress: Progress, state: Stage) -> None:
        self._progress, self._state = progress, state
        self._first, self._began = state.done, time.monotonic()
        progress(state)

    @property
    def done(self) -> int:
        """How many are done."""
        return self._state.done

    def update(
        self,
        done: int | None = None,
        *,
        total: int | None = None,
        note: str | None = None,
        rate: float | None = None,
    ) -> None:
        """Tell what has changed. The rate is that of this stage so far, unless another is given."""
        if done is not None:
            seconds = time.monotonic() - self._began
            if rate is None and done > self._first and seconds > 0:
                rate = (done - self._first) / seconds
            self._state = replace(self._state, done=done, rate=rate)
        if total is not None:
            self._state = replace(self._state, total=total)
        if note is not None:
            self._state = replace(self._state, note=note)
        self._progress(self._state)

    def end(self) -> None:
        """Tell that it is over."""
        self._progress(replace(self._state, ended=True))


@contextmanager
def stage(
    progress: Progress, name: str, unit: str, total: int | None = None, done: int = 0
) -> Iterator[RunningStage]:
    """A stage of the work, which ends with the block, however that ends."""
    running = RunningStage(progress, Stage(name, unit, done, total))
    try:
        yield running
    finally:
        running.end()
