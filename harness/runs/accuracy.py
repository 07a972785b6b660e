"""Where the errors of single networks come from: training, published accuracies, what computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from harness.core.errors import UsageError
from harness.datasets.accuracies import accuracies_name, published_accuracies
from harness.devices.table import StoredTable
from harness.runs.evaluation import JudgedOn, Trainable, evaluate_architectures
from harness.runs.run import BY_FUNCTION, BY_TRAINING, RunConfig
from harness.store import Evaluation, Store
from modnas.core.registry import PluginError, Registry
from modnas.spaces import Architecture, Space

# Told of each evaluation, and whether it was made now.
OnRow = Callable[[Evaluation, bool], None]
# Errors in percent of architectures, (n,): what a user's own program says of them.
AccuracyFunction = Callable[[Sequence[Architecture]], ArrayLike]


class AccuracySource(ABC):
    """Errors of architectures, each evaluated by itself.

    One of another package is a class derived from this or, where errors are computed for the asking, from
    `ComputedAccuracy`. It is made for a run that begins or is read.

    Attributes:
        judged_on: what they are errors on: a split of the task's data, or whose word it is.
        pool: the architectures that there are errors of; None: any of the space.
    """

    judged_on: str
    pool: Callable[[], Sequence[Architecture]] | None = None

    @abstractmethod
    def __init__(self, state: Trainable, store: Store, split: JudgedOn) -> None:
        """`split`: that trained networks are judged on.

        Raises UsageError where what it needs is not there.
        """

    @abstractmethod
    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        """A row for each architecture, none evaluated twice. `on_row` is told of each once."""


class Trained(AccuracySource):
    """Networks are trained by the run's recipe, and remembered in the store."""

    def __init__(self, state: Trainable, store: Store, split: JudgedOn) -> None:
        self._state, self._store, self._split = state, store, split
        self.judged_on = split

    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        """Raises as `evaluate_architectures` does."""
        return evaluate_architectures(self._state, architectures, self._store, on_row, judged_on=self._split)


class Published(AccuracySource):
    """Errors are looked up among the imported ones. Raises UsageError where there are none."""

    judged_on = "published"

    def __init__(self, state: Trainable, store: Store, split: JudgedOn) -> None:
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
        recipe = {"source": "published", "files": list(self._table.sources)}
        found = {a: _row(self._state, a, self._table.values[a.string], recipe) for a in architectures}
        for row in found.values():
            if on_row:
                on_row(row, False)
        return found


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


class ComputedAccuracy(AccuracySource):
    """Errors that a program computes from an architecture; asked once for each while this lives.

    Attributes:
        space, task: the run's.
    """

    def __init__(self, state: Trainable, store: Store, split: JudgedOn) -> None:
        self._state, self.space, self.task = state, state.space, state.task
        self.judged_on = state.run.config.evaluated_by
        self._known: dict[Architecture, Evaluation] = {}

    @abstractmethod
    def errors(self, architectures: Sequence[Architecture]) -> ArrayLike:
        """Errors in percent, (n,); the smaller the better."""

    def evaluate(
        self, architectures: Sequence[Architecture], on_row: OnRow | None = None
    ) -> dict[Architecture, Evaluation]:
        """Raises UsageError for what is no error in percent, and what `errors` raises."""
        new = [a for a in dict.fromkeys(architectures) if a not in self._known]
        errors = np.asarray(self.errors(new) if new else (), dtype=np.float64)
        if errors.shape != (len(new),) or not ((errors >= 0) & (errors <= 100)).all():
            raise UsageError(
                f"the accuracy {self.judged_on} must give {len(new)} errors in percent, 0 to 100"
            )
        recipe = {"source": self.judged_on}
        for architecture, error in zip(new, errors.tolist(), strict=True):
            self._known[architecture] = _row(self._state, architecture, error, recipe)
        found = {a: self._known[a] for a in architectures}
        for architecture, row in found.items():
            if on_row:
                on_row(row, architecture in new)
        return found


class UserFunction(ComputedAccuracy):
    """A function of the user's says them."""

    def __init__(
        self, state: Trainable, store: Store, split: JudgedOn, function: AccuracyFunction | None
    ) -> None:
        super().__init__(state, store, split)
        if function is None:
            raise UsageError(
                f"run {state.run.name} asks a function for accuracies: continue it from Python with the same "
                "Study(accuracy=...)"
            )
        self._function = function

    def errors(self, architectures: Sequence[Architecture]) -> ArrayLike:
        """What the function says of them."""
        return self._function(architectures)


# What `--accuracy` takes. With `supernet` the search itself asks the weights that all networks share; what it
# found is trained.
ACCURACIES: Registry[type[AccuracySource]] = Registry(
    "accuracy source",
    "modnas_hw.accuracies",
    {
        "supernet": "harness.runs.accuracy:Trained",
        "surrogate": "harness.runs.accuracy:Trained",
        "published": "harness.runs.accuracy:Published",
    },
    accepts=lambda found: isinstance(found, type) and issubclass(found, AccuracySource),
    expected="a class derived from harness.AccuracySource",
)


def get_accuracy(name: str) -> type[AccuracySource]:
    """The source called `name`. Raises UnknownNameError, PluginError."""
    kind = ACCURACIES.load(name)
    if name in (BY_TRAINING, BY_FUNCTION):
        raise PluginError(
            f"accuracy source {name!r} of package {ACCURACIES.origin(name)} has the name of another kind of "
            "source; ask its authors"
        )
    return kind


def accuracy_source(
    state: Trainable, store: Store, split: JudgedOn, function: AccuracyFunction | None = None
) -> AccuracySource:
    """Where a run's evaluations come from, by its configuration.

    Args:
        split: that trained networks are judged on.
        function: the user's, for a run that has one.

    Raises UsageError where what the run needs is not there, UnknownNameError and PluginError.
    """
    by = state.run.config.evaluated_by
    if by == BY_TRAINING:
        return Trained(state, store, split)
    if by == BY_FUNCTION:
        return UserFunction(state, store, split, function)
    kind, began = get_accuracy(by), state.run.config.accuracy_function
    if ACCURACIES.origin(by) != began:
        raise UsageError(
            f"run {state.run.name} began with accuracies by {by} of {began}, and {ACCURACIES.origin(by)} is "
            "installed: install that again, or start another run with another --run NAME"
        )
    return kind(state, store, split)


def _row(state: Trainable, architecture: Architecture, error: float, recipe: dict[str, Any]) -> Evaluation:
    """A row that is made for an answer and not stored."""
    return Evaluation(
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
