"""Cells as NAS-Bench-201's files and programs write them, other than by their string.

Source: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR
2020, and the `Structure` of its code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from modnas.core.architecture import ArchitectureError
from modnas.spaces.nasbench201.cells import EDGES, OPERATORS, official_order

_STRUCTURE = re.compile(r"Structure\(4 nodes with (\|.*\|)\)")
_INDEX = re.compile(r"\d{1,9}", re.ASCII)
_NODES = (1, 2, 3)


def inner_string(text: str) -> str | None:
    """The cell's string in what Python prints of a `Structure`: `Structure(4 nodes with |…|)`."""
    match = _STRUCTURE.fullmatch(text.strip())
    return match[1] if match else None


def published_choices(content: object) -> tuple[int, ...] | None:
    """Operators of the six edges, in this space's order; None for what is no form of a cell.

    Args:
        content: a position in the official index, as a number or a text of digits; six operators by name or
            by number (0 to 4: none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3) for the edges
            0>1, 0>2, 1>2, 0>3, 1>3, 2>3; or a genotype: of each of three nodes, pairs of operator and input.

    Raises:
        ArchitectureError: a position or a genotype that there is not.
    """
    if isinstance(content, str) and _INDEX.fullmatch(content.strip()):
        content = int(content)
    if _is_whole(content):
        return _at(content)
    if not isinstance(content, (list, tuple)):
        return None
    if len(content) == len(EDGES):
        return _six(content)
    if len(content) == len(_NODES) and all(map(_is_node, content)):
        return tuple(
            op for node, pairs in zip(_NODES, content, strict=True) for op in _inputs_of(node, pairs)
        )
    return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _at(index: object) -> tuple[int, ...]:
    cells = official_order()
    if not (isinstance(index, int) and 0 <= index < len(cells)):
        raise ArchitectureError(f"no cell {index} in NAS-Bench-201's index; it has 0 to {len(cells) - 1}")
    return cells[index]


def _six(values: Sequence[object]) -> tuple[int, ...] | None:
    if all(_is_whole(value) and value in range(len(OPERATORS)) for value in values):
        return tuple(int(str(value)) for value in values)
    if all(value in OPERATORS for value in values):
        return tuple(OPERATORS.index(str(value)) for value in values)
    return None


def _is_node(value: object) -> bool:
    """Whether it looks like a node's pairs of operator and input."""
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value)
        and all(isinstance(op, str) and _is_whole(start) for op, start in value)
    )


def _inputs_of(node: int, pairs: Sequence[tuple[str, int]]) -> list[int]:
    """Operators of a node's inputs, in the inputs' order."""
    operators = {start: op for op, start in pairs}
    if len(pairs) != node or operators.keys() != {*range(node)}:
        raise ArchitectureError(
            f"a genotype's node {node} has one operator for each of its inputs 0 to {node - 1}, not {pairs}"
        )
    if unknown := [op for op in operators.values() if op not in OPERATORS]:
        raise ArchitectureError(f"no operator {unknown[0]!r}; known: {', '.join(OPERATORS)}")
    return [OPERATORS.index(operators[start]) for start in range(node)]
