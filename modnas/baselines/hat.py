"""HAT's evolutionary search: the most accurate architecture among those that keep a bound on the metric.

Source: Wang et al., "HAT: Hardware-Aware Transformers for Efficient Natural Language Processing", ACL 2020,
and the settings of the authors' code: a population of 125, of which 25 are parents, 50 mutants, each decision
redrawn with probability 0.3, and 50 crossings of two parents; 30 generations. A child that breaks the bound
is drawn anew. HAT draws until one keeps it; after `TRIES` draws the fastest takes the place here, so that a
bound that nothing keeps has an end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from modnas.baselines.base import Model, Problem
from modnas.baselines.bounded import BROKEN, excess_of, run_under_bounds
from modnas.spaces import Architecture, Space

POPULATION, PARENTS, MUTANTS, MUTATION = 125, 25, 50, 0.3
CROSSINGS = POPULATION - PARENTS - MUTANTS
GENERATIONS = 30
TRIES = 20


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """The best of the models under each of `budget` bounds; see `bounded.run_under_bounds`."""
    return run_under_bounds(problem, budget, seed, search)


@torch.no_grad()
def search(
    space: Space,
    error: Model,
    latency: Model,
    bounds: Sequence[float],
    *,
    generations: int = GENERATIONS,
    seed: int,
) -> list[Architecture]:
    """One architecture a bound, in their order; a bound that nothing found keeps gets the fastest one found.

    All bounds are searched side by side, each with its own population.

    Args:
        error, latency: models of what is minimised and of what is bounded.
        bounds: largest predicted latencies.
        generations: of each population.
    """
    generator = torch.Generator().manual_seed(seed)
    options, groups = torch.tensor(space.options), len(bounds)
    limits = torch.tensor(list(bounds))
    excess_over = excess_of(space, latency)

    def drawn(count: int) -> Tensor:
        shape = (groups, count, len(options))
        return (torch.rand(shape, generator=generator) * options).long()

    def keeping(draw: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """Children (bounds, count, decisions), each drawn until it keeps its bound, and their ratings."""
        kept = draw()
        each = limits.unsqueeze(1).expand(kept.shape[:2])
        excess = excess_over(kept.flatten(0, 1), each.flatten()).view(each.shape)
        for _ in range(TRIES):
            breaking = excess > 0
            if not breaking.any():
                break
            anew = draw()[breaking]
            found = excess_over(anew, each[breaking])
            better = found < excess[breaking]
            kept[breaking] = torch.where(better.unsqueeze(1), anew, kept[breaking])
            excess[breaking] = torch.where(better, found, excess[breaking])
        errors = error(space.encode_choices(kept.flatten(0, 1))).view(each.shape)
        return kept, torch.where(excess > 0, BROKEN * (1 + excess), errors)

    population, rating = keeping(lambda: drawn(POPULATION))
    for _ in range(generations):
        order = rating.sort(dim=1, stable=True).indices[:, :PARENTS]
        parents = _taken(population, order)
        mutants = keeping(lambda parents=parents: _mutants(parents, drawn(MUTANTS), generator))  # type: ignore[misc]
        crossed = keeping(lambda parents=parents: _crossings(parents, generator))  # type: ignore[misc]
        population = torch.cat([parents, mutants[0], crossed[0]], 1)
        rating = torch.cat([rating.gather(1, order), mutants[1], crossed[1]], 1)
    best = _taken(population, rating.argmin(1, keepdim=True)).squeeze(1)
    return [space.architecture(row) for row in best.tolist()]


def _taken(population: Tensor, indices: Tensor) -> Tensor:
    """Members (bounds, n, decisions) of each bound's population by their indices (bounds, n)."""
    return population.gather(1, indices.unsqueeze(2).expand(-1, -1, population.shape[2]))


def _mutants(parents: Tensor, redrawn: Tensor, generator: torch.Generator) -> Tensor:
    """Random parents, some of whose decisions are as in `redrawn`, (bounds, MUTANTS, decisions)."""
    chosen = torch.randint(PARENTS, redrawn.shape[:2], generator=generator)
    mutate = torch.rand(redrawn.shape, generator=generator) < MUTATION
    return torch.where(mutate, redrawn, _taken(parents, chosen))


def _crossings(parents: Tensor, generator: torch.Generator) -> Tensor:
    """Each decision from either of two different parents: (bounds, CROSSINGS, decisions)."""
    order = torch.rand(len(parents), CROSSINGS, PARENTS, generator=generator).argsort(2)
    mother, father = (_taken(parents, order[..., i]) for i in (0, 1))
    return torch.where(torch.rand(mother.shape, generator=generator) < 0.5, mother, father)
