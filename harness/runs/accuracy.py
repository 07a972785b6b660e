"""Where the errors of single networks come from: training, published accuracies, a function of the user's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.core.errors import UsageError
from harness.datasets.accuracies import accuracies_name, published_accuracies
from harness.devices.table import StoredTable
from harness.runs.evaluation import JudgedOn, Trainable, evaluate_architectures
from harness.runs.run import RunConfig
from harness.store import Evaluation, Store
from modnas.spaces import Architecture, Space

# Told of each evaluation, and whether it was made now.
OnRow = Callable[[Evaluation, bool], None]
# Errors in percent of architectures, (n,): what a user's own program says of them.
AccuracyFunction = Callable[[Sequence[Architecture]], ArrayLike]


class AccuracySource(ABC):
    """Errors of architectures, each evaluated by itself.

    Attributes:
        judged_on: what they are errors on: a split of the task's data, or whose word it is.
        pool: the architectures that there are errors of; None: any of the space.
    """

    judged_on: str
    pool: Callable[[], Sequence[Architecture]] | None = None

    @abstractmethod
    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        """A row for each architecture, none evaluated twice."""


class Trained(AccuracySource):
    """Networks are trained by the run's recipe, and remembered in the store."""

    def __init__(self, state: Trainable, store: Store, judged_on: JudgedOn) -> None:
        self._state, self._store, self.judged_on = state, store, judged_on
        self._split: JudgedOn = judged_on

    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        """Raises as `evaluate_architectures` does."""
        return evaluate_architectures(self._state, architectures, self._store, on_row, judged_on=self._split)


class Published(AccuracySource):
    """Errors are looked up among the imported ones. Raises UsageError where there are none."""

    judged_on = "published"

    def __init__(self, state: Trainable, store: Store) -> None:
        self._state, self._table = state, require_published(state.run.config, state.space, store)
        self.pool = self._usable

    def _usable(self) -> list[Architecture]:
        found = map(self._state.space.parse, self._table.values)
        return [architecture for architecture in found if self._state.space.is_usable(architecture)]

    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        """Raises UsageError for an architecture that was not published."""
        missing = [a for a in architectures if a.string not in self._table.values]
        if missing:
            more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
            raise UsageError(
                f"no published accuracy of {missing[0].string}{more} in "
                f"{accuracies_name(self._state.run.config.task)}"
            )
        errors = [self._table.values[a.string] for a in architectures]
        recipe = {"source": "published", "files": list(self._table.sources)}
        return _rows(self._state, architectures, errors, recipe, now=False, on_row=on_row)


def require_published(config: RunConfig, space: Space, store: Store) -> StoredTable:
    """The accuracies that a run without trainings needs. Raises UsageError where they are not there."""
    table = published_accuracies(store, config.task, space)
    if table is None:
        raise UsageError(
            f"no published accuracies of {space.name} on {config.task} in the store: import them with "
            f"modnas-hw dataset import FILE --task {config.task}, or with a benchmark's tables: --from FOLDER"
        )
    if len(table.values) < (config.evaluations or 0):
        raise UsageError(
            f"--evaluations {config.evaluations}: only {len(table.values)} accuracies of {space.name} on "
            f"{config.task} were imported"
        )
    return table


class UserFunction(AccuracySource):
    """A function of the user's says them; asked once for each architecture while this lives."""

    judged_on = "function"

    def __init__(self, state: Trainable, function: AccuracyFunction) -> None:
        self._state, self._function = state, function
        self._known: dict[Architecture, Evaluation] = {}

    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        """Raises UsageError for what is no error in percent, and what the function raises."""
        new = [a for a in dict.fromkeys(architectures) if a not in self._known]
        errors = np.asarray(self._function(new) if new else (), dtype=np.float64)
        if errors.shape != (len(new),) or not ((errors >= 0) & (errors <= 100)).all():
            raise UsageError(f"the accuracy function must give {len(new)} errors in percent, 0 to 100")
        recipe = {"source": "function"}
        self._known |= _rows(self._state, new, errors.tolist(), recipe, now=True, on_row=on_row)
        return {a: self._known[a] for a in architectures}


def accuracy_source(
    state: Trainable, store: Store, judged_on: JudgedOn, function: AccuracyFunction | None = None
) -> AccuracySource:
    """Where a run's evaluations come from, by its configuration.

    Args:
        judged_on: the split that trained networks are judged on.
        function: the user's, for a run that has one.

    Raises UsageError where what the run needs is not there.
    """
    by: Literal["training", "published", "function"] = state.run.config.evaluated_by
    if by == "training":
        return Trained(state, store, judged_on)
    if by == "published":
        return Published(state, store)
    if function is None:
        raise UsageError(
            f"run {state.run.name} asks a function for accuracies: continue it from Python with the same "
            "Study(accuracy=...)"
        )
    return UserFunction(state, function)


def _rows(
    state: Trainable,
    architectures: Sequence[Architecture],
    errors: Sequence[float],
    recipe: dict[str, Any],
    *,
    now: bool,
    on_row: OnRow | None,
) -> dict[Architecture, Evaluation]:
    """Rows that are made for an answer and not stored."""
    found = {}
    for architecture, error in zip(architectures, errors, strict=True):
        found[architecture] = Evaluation(
            key="",
            space=state.space.name,
            variant=state.space.variant,
            arch=architecture.string,
            task=state.run.config.task,
            error=error,
            seconds=0.0,
            created_at=datetime.now(timezone.utc),
            recipe=recipe,
            losses=[],
        )
        if on_row:
            on_row(found[architecture], now)
    return found
