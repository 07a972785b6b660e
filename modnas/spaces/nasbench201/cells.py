"""NAS-Bench-201 cells as lists of choices: strings, order, which edges matter, which cells are one network.

Strings, operator names and the order of the benchmark's index are the official ones.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from functools import cache

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
NONE, SKIP, CONV1, CONV3, POOL = range(5)


def format_cell(choices: Sequence[int]) -> str:
    """Official string of the cell whose edges 0>1, 0>2, 1>2, 0>3, 1>3, 2>3 hold these operators."""
    o = [OPERATORS[c] for c in choices]
    return f"|{o[0]}~0|+|{o[1]}~0|{o[2]}~1|+|{o[3]}~0|{o[4]}~1|{o[5]}~2|"


@cache
def official_order() -> tuple[tuple[int, ...], ...]:
    """All 15,625 cells in the order of the published benchmark (position = its index).

    The benchmark's authors shuffled the lexicographic product with Python's generator seeded by 88.
    """
    cells = list(itertools.product(range(len(OPERATORS)), repeat=len(EDGES)))
    random.Random(88).shuffle(cells)
    return tuple(cells)


def live_edges(choices: Sequence[int]) -> tuple[bool, ...]:
    """Which edges lie on a path of operators other than `none` from the cell's input to its output."""
    reached = {0}
    for (i, j), op in zip(EDGES, choices, strict=True):
        if op != NONE and i in reached:
            reached.add(j)
    needed = {3}
    for (i, j), op in reversed(list(zip(EDGES, choices, strict=True))):
        if op != NONE and j in needed:
            needed.add(i)
    return tuple(
        op != NONE and i in reached and j in needed for (i, j), op in zip(EDGES, choices, strict=True)
    )


def simplest(choices: Sequence[int]) -> tuple[int, ...]:
    """The plainest cell that is the same network.

    Dead edges become `none`, a node that only hands on what it gets is bypassed where the cell has a free
    edge for that, and the inner nodes are numbered by one rule where their order is free. Weights carry over.
    """
    ops = {edge: op for edge, op, live in zip(EDGES, choices, live_edges(choices), strict=True) if live}
    while True:
        shorter = next(filter(None, (_bypassed(ops, node) for node in (1, 2))), None)
        if shorter is None:
            break
        ops = shorter
    if (1, 2) not in ops:
        ops = max(ops, _renumbered(ops, {1: 2, 2: 1}), key=_choices)
    return _choices(ops)


def _choices(ops: dict[tuple[int, int], int]) -> tuple[int, ...]:
    return tuple(ops.get(edge, NONE) for edge in EDGES)


def _renumbered(ops: dict[tuple[int, int], int], names: dict[int, int]) -> dict[tuple[int, int], int]:
    return {(names.get(i, i), names.get(j, j)): op for (i, j), op in ops.items()}


def _bypassed(ops: dict[tuple[int, int], int], node: int) -> dict[tuple[int, int], int] | None:
    """The cell without an inner node whose only input, or only output, is a skip; None if that is no cell."""
    into = [edge for edge in ops if edge[1] == node]
    out = [edge for edge in ops if edge[0] == node]
    for own, others in ((into, out), (out, into)):
        if len(own) != 1 or ops[own[0]] != SKIP:
            continue
        rest = {edge: op for edge, op in ops.items() if node not in edge}
        i, j = own[0]
        moved = {((i, t) if own is into else (s, j)): ops[s, t] for s, t in others}
        if not moved.keys() & rest.keys():
            return rest | moved
    return None
