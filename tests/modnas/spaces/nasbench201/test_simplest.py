"""Cells in their plainest form compute what they computed."""

from __future__ import annotations

import pytest

from modnas.spaces.nasbench201.cells import EDGES, NONE, SKIP, live_edges, official_order, simplest


def formula(choices):
    """The output as a sorted sum of terms, each an operator applied to a sum; the input is `x`."""
    nodes = [("x",)]
    live = live_edges(choices)
    for target in (1, 2, 3):
        terms = []
        for (source, node), op, is_live in zip(EDGES, choices, live, strict=True):
            if node == target and is_live:
                terms += nodes[source] if op == SKIP else [f"{op}({'+'.join(nodes[source])})"]
        nodes.append(tuple(sorted(terms)))
    return nodes[3]


def paid_operators(choices):
    live = live_edges(choices)
    return sorted(op for op, is_live in zip(choices, live, strict=True) if is_live and op != SKIP)


@pytest.mark.slow
def test_every_cell_keeps_its_function_and_its_operators():
    for cell in official_order():
        plain = simplest(cell)
        assert formula(plain) == formula(cell), cell
        assert paid_operators(plain) == paid_operators(cell), cell
        assert simplest(plain) == plain, cell
        assert sum(op != NONE for op in plain) <= sum(op != NONE for op in cell)


@pytest.mark.parametrize(
    ("cell", "plain"),
    [
        ((1, 0, 1, 0, 0, 1), (0, 0, 0, 1, 0, 0)),  # three skips in a row
        ((0, 3, 0, 0, 0, 1), (0, 0, 0, 3, 0, 0)),  # a convolution handed on
        ((0, 2, 0, 0, 0, 3), (2, 0, 0, 0, 3, 0)),  # through node 2 or node 1: the same path
        ((1, 0, 0, 1, 1, 0), (1, 0, 0, 1, 1, 0)),  # the input twice: no free edge, so it stays
        ((3, 4, 0, 3, 0, 0), (0, 0, 0, 3, 0, 0)),  # dead ends
    ],
)
def test_examples(cell, plain):
    assert simplest(cell) == plain
