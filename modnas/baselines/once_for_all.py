"""Once-for-all's evolutionary search: the most accurate architecture under a bound on predicted latency.

Source: Cai et al., "Once for All: Train One Network and Specialize it for Efficient Deployment", ICLR 2020,
and the authors' package `ofa`: a population of 100, a quarter of them parents, 50 children mutated and the
rest crossed over, each decision redrawn with probability 0.1. The authors have latency tables of their own;
with HELP's predictor (Lee et al., 2021) it is the search of HELP's paper.

All bounds are searched side by side, so that the models are asked for whole generations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from modnas.baselines.base import Model, Problem
from modnas.baselines.bounded import BROKEN, excess_of, run_under_bounds
from modnas.spaces import Architecture, Space

POPULATION, PARENTS, MUTANTS, MUTATION = 100, 25, 50, 0.1
GENERATIONS = 100


def run(problem: Problem, budget: int, seed: int) -> list[Architecture]:
    """The best of the models under each of `budget` bounds; see `bounded.run_under_bounds`."""
    return run_under_bounds(problem, budget, seed, search)


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

    Args:
        error, latency: models of what is minimised and of what is bounded.
        bounds: largest predicted latencies.
        generations: of each population.
    """
    generator = torch.Generator().manual_seed(seed)
    options = torch.tensor(space.options)
    limits = torch.tensor(list(bounds)).repeat_interleave(POPULATION)
    excess_over = excess_of(space, latency)

    def drawn(count: int) -> Tensor:
        return (torch.rand(count, len(options), generator=generator) * options).long()

    def rated(choices: Tensor) -> Tensor:
        """Error, or how far the bound is broken in place of it: (bounds, population)."""
        excess, errors = excess_over(choices, limits), error(space.encode_choices(choices))
        return torch.where(excess > 0, BROKEN * (1 + excess), errors).view(len(bounds), -1)

    population = drawn(len(bounds) * POPULATION).view(len(bounds), POPULATION, -1)
    with torch.no_grad():
        rating = rated(population.flatten(0, 1))
        for _ in range(generations):
            order = rating.sort(dim=1, stable=True).indices[:, :PARENTS]
            parents = population.gather(1, order.unsqueeze(2).expand(-1, -1, len(options)))
            children = _children(parents, drawn, generator)
            population = torch.cat([parents, children], 1)
            limits = torch.tensor(list(bounds)).repeat_interleave(children.shape[1])
            rating = torch.cat([rating.gather(1, order), rated(children.flatten(0, 1))], 1)
    best = population[torch.arange(len(bounds)), rating.argmin(1)]
    return [space.architecture(row) for row in best.tolist()]


def _children(parents: Tensor, drawn: Callable[[int], Tensor], generator: torch.Generator) -> Tensor:
    """Mutants of random parents and crossings of random pairs: (bounds, POPULATION - PARENTS, decisions)."""
    groups, _, decisions = parents.shape
    count = POPULATION - PARENTS

    def chosen() -> Tensor:
        index = torch.randint(PARENTS, (groups, count), generator=generator)
        return parents.gather(1, index.unsqueeze(2).expand(-1, -1, decisions))

    mother, father = chosen(), chosen()
    redrawn = drawn(groups * count).view(groups, count, decisions)
    mutate = torch.rand(groups, count, decisions, generator=generator) < MUTATION
    mutants = torch.where(mutate, redrawn, mother)
    crossed = torch.where(torch.rand(groups, count, decisions, generator=generator) < 0.5, mother, father)
    is_mutant = (torch.arange(count) < MUTANTS).view(1, -1, 1)
    return torch.where(is_mutant, mutants, crossed)
