"""Accuracies without weight sharing: some architectures are evaluated, a surrogate tells the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from modnas.accuracy.active import Evaluate, Floats, candidates, evaluate_actively
from modnas.accuracy.surrogate import AccuracySurrogate, fit_surrogate
from modnas.search.devices import SearchDevice
from modnas.spaces import Architecture, Space

# Which architectures are evaluated: near the fronts that are expected, or any.
Choice = Literal["active", "random"]
# Chosen actively, this share of the evaluations is drawn at random before the others are chosen, in so many
# rounds.
_START, _ROUNDS = 1 / 3, 4
_BLOCK = 4000  # architectures expected at once, which bounds the memory


@dataclass(frozen=True)
class EvaluatedAccuracy:
    """Errors in percent: those of evaluated architectures as they are, the others' by a surrogate.

    Args:
        surrogate: fitted on `evaluated`.
        evaluated: errors by architecture.
        exact: evaluated once more, they would be the same. Where they would not, as trainings differ by
            chance, the surrogate is asked for all: the best of many is the luckiest too.
    """

    surrogate: AccuracySurrogate
    evaluated: Mapping[Architecture, float]
    exact: bool = True

    @property
    def space(self) -> Space:
        """What is searched."""
        return self.surrogate.space

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest error that was evaluated: what counts as 0 and 1 beside the metrics."""
        return min(self.evaluated.values()), max(self.evaluated.values())

    @property
    def task_loss(self) -> AccuracySurrogate:
        """What a search minimises first."""
        return self.surrogate

    def losses(self, architectures: Sequence[Architecture]) -> Floats:
        """The errors, (n,)."""
        return self.errors(architectures)

    @property
    def certain(self) -> list[Architecture]:
        """Architectures whose errors are exact: no front needs to do without them."""
        return list(self.evaluated) if self.exact else []

    def errors(self, architectures: Sequence[Architecture]) -> Floats:
        """Errors, (n,)."""
        expected = expect(self.surrogate, architectures)
        if not self.exact:
            return expected
        known = zip(architectures, expected.tolist(), strict=True)
        return np.array([self.evaluated.get(a, e) for a, e in known])


@torch.no_grad()
def expect(surrogate: AccuracySurrogate, architectures: Sequence[Architecture]) -> Floats:
    """What a surrogate expects of architectures, evaluated or not, percent, (n,)."""
    samples = surrogate.space.encode(architectures).to(surrogate.onehot.device)
    found: Floats = torch.cat(
        [surrogate(part).double().cpu() for part in torch.split(samples, _BLOCK)]
    ).numpy()
    return found


def evaluate_and_fit(
    space: Space,
    evaluate: Evaluate,
    devices: Sequence[SearchDevice],
    *,
    budget: int,
    choice: Choice,
    chance: float,
    seed: int,
    pool: Callable[[], Sequence[Architecture]] | None = None,
) -> EvaluatedAccuracy:
    """Evaluate `budget` architectures, and fit a surrogate on them. Same arguments, same result.

    Args:
        evaluate: errors of architectures, percent, positive; each call is to be counted.
        devices: those of the search, whose fronts an active choice is for.
        chance: error of guessing, percent.
        pool: what there is to choose from; None: all of a small space, a sample of a large one, in plainest
            form.

    Raises:
        ValueError: there are not so many architectures.
    """
    known: dict[Architecture, float] = {}

    def remembered(architectures: Sequence[Architecture]) -> Floats:
        errors = np.asarray(evaluate(architectures), dtype=np.float64)
        known.update(zip(architectures, errors.tolist(), strict=True))
        return errors

    if choice == "random":
        _evaluate_at_random(space, remembered, budget, seed, pool)
    else:
        every = list(pool()) if pool is not None else candidates(space, seed, plain=True)

        def fit(evaluated: Sequence[Architecture], errors: Floats) -> Floats:
            return expect(fit_surrogate(space, evaluated, errors, chance, seed), every)

        metrics = [device.metrics(space, every) for device in devices]
        evaluate_actively(
            every,
            metrics,
            remembered,
            fit,
            budget=budget,
            start=max(2, round(_START * budget)),
            rounds=_ROUNDS,
            seed=seed,
        )
    surrogate = fit_surrogate(space, list(known), list(known.values()), chance, seed)
    return EvaluatedAccuracy(surrogate, known)


def _evaluate_at_random(
    space: Space,
    evaluate: Evaluate,
    budget: int,
    seed: int,
    pool: Callable[[], Sequence[Architecture]] | None,
) -> None:
    """Of a pool a permutation's beginning, else as the space samples."""
    if pool is None:
        evaluate(space.sample(budget, torch.Generator().manual_seed(20_000 + seed)))
        return
    every = pool()
    if budget > len(every):
        raise ValueError(f"{budget} architectures cannot be evaluated: there are {len(every)}")
    order = np.random.default_rng(seed).permutation(len(every))[:budget]
    evaluate([every[i] for i in order])
