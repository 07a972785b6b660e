"""What every baseline gets: a space, a device, and objectives whose evaluations are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from modnas.core.errors import InputError
from modnas.prediction.help import HelpPredictor
from modnas.spaces import Architecture, Space

Floats = npt.NDArray[np.float64]

Measure = Callable[[Sequence[Architecture]], npt.ArrayLike]
# One-hot rows (n, width) -> (n,), smaller is better.
Model = Callable[[Tensor], Tensor]

_TRIES = 1000  # draws that may fail for every architecture that is asked for


class BaselineError(InputError, ValueError):
    """A baseline cannot run on this problem: something it needs is missing, or the space is too small."""

    code = "baseline"


@dataclass(frozen=True)
class Proposals:
    """What MetaD2A + HELP chooses from.

    Args:
        architectures: the candidates a generator proposed for the task.
        scores: the generator's opinion of their accuracy, larger is better, one each.
        predictor: HELP's latency predictor for a seed, meta-learned on other devices.
    """

    architectures: tuple[Architecture, ...]
    scores: tuple[float, ...]
    predictor: Callable[[int], HelpPredictor]


@dataclass(frozen=True)
class Models:
    """What some methods ask in place of training and measuring.

    Args:
        metric: the predicted hardware metric on the device, positive, differentiable in the rows.
        error: expected errors, differentiable in the rows; None where there is no model of them.
        evaluated: whose true errors `error` was fitted on.
    """

    metric: Model
    error: Model | None = None
    evaluated: tuple[Architecture, ...] = ()


class Problem:
    """Minimise M objectives of architectures on one device.

    A problem belongs to one run of one method: it remembers what was evaluated, so that nothing is paid for
    twice and nothing is free.

    Args:
        space: what is searched.
        device: its name, for messages.
        measure: n architectures -> their true objectives, shape (n, M), all to be minimised.
        references: the hardware metric measured on `space.references`, shape (D,), positive.
        objectives: M.
        proposals: for the method `help` only.
        glimpse: as `measure` after a fraction of the training, for multi-fidelity methods only.
        models: by seed, fitted when they are first asked for; for methods that search on models.
        descends: told (child, parent) before a child is evaluated whose training may start from its parent's
            weights (see `modnas.accuracy.inheritance`).

    Attributes:
        searches: how often the method searched: once, unless it counts one for each bound.
    """

    def __init__(
        self,
        space: Space,
        device: str,
        measure: Measure,
        references: npt.ArrayLike,
        *,
        objectives: int = 2,
        proposals: Proposals | None = None,
        glimpse: Measure | None = None,
        models: Callable[[int], Models] | None = None,
        descends: Callable[[Architecture, Architecture], object] = lambda child, parent: None,
    ) -> None:
        self.space, self.device, self.objectives = space, device, objectives
        self.references = np.asarray(references, dtype=np.float64)
        self.proposals, self.glimpse, self.descends = proposals, glimpse, descends
        self.searches = 1
        self._measure, self._models = measure, models
        self._known: dict[Architecture, Floats] = {}
        self._fitted_on: tuple[Architecture, ...] = ()

    @property
    def evaluated(self) -> list[Architecture]:
        """Every architecture evaluated so far, in order, each once."""
        return list(self._known)

    @property
    def evaluations(self) -> int:
        """Number of true evaluations so far."""
        return len(self._known)

    @property
    def told(self) -> list[Architecture]:
        """Whose true errors the method has used: its own evaluations, and those its model was fitted on."""
        return list(dict.fromkeys([*self._known, *self._fitted_on]))

    def error_model(self, seed: int) -> Model:
        """`Models.error`; what it was fitted on counts as told from now on. Raises BaselineError without."""
        models = None if self._models is None else self._models(seed)
        if models is None or models.error is None:
            raise BaselineError(f"{self.device}: the method needs models of error and metric")
        self._fitted_on = models.evaluated
        return models.error

    def metric_model(self, seed: int) -> Model | None:
        """`Models.metric`; None without."""
        return None if self._models is None else self._models(seed).metric

    def evaluate(self, architectures: Sequence[Architecture]) -> Floats:
        """True objectives, shape (n, M), to be minimised; only those not known yet count as evaluations."""
        new = [a for a in dict.fromkeys(architectures) if a not in self._known]
        if new:
            values = np.asarray(self._measure(new), dtype=np.float64)
            self._known.update(zip(new, values, strict=True))
        return np.stack([self._known[a] for a in architectures])

    def values(self) -> Floats:
        """Objectives of `evaluated`, shape (n, M)."""
        return np.stack(list(self._known.values()))

    def unseen(self, count: int, draw: np.random.Generator) -> list[Architecture]:
        """`count` distinct usable architectures, uniformly from those not evaluated. Raises BaselineError."""
        found: dict[Architecture, None] = {}
        for _ in range(_TRIES * count):
            if len(found) == count:
                break
            candidate = self.space.architecture([int(draw.integers(n)) for n in self.space.options])
            if candidate not in self._known and self.space.is_usable(candidate):
                found[candidate] = None
        if len(found) < count:
            raise BaselineError(
                f"{self.device}: no further usable architectures found in {self.space.name}; lower the budget"
            )
        return list(found)

    def neighbours(self, architecture: Architecture, draw: np.random.Generator) -> list[Architecture]:
        """Usable architectures that differ in one decision and were not evaluated, in random order."""
        new = [a for a in self.space.variations(architecture) if a not in self._known]
        return [new[i] for i in draw.permutation(len(new))]
