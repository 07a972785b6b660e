"""What every module that travels to the agent must be: an old board's Python, and nothing to install."""

from __future__ import annotations

import ast
import sys

AGENT_PYTHON = (3, 8)


def check_agent_module(source: bytes, entrance: str) -> ast.Module:
    """Check what a module is written in and what importing it needs.

    Args:
        entrance: the function in which it may import more.

    Returns:
        The module's tree.

    Raises AssertionError, and SyntaxError for newer Python.
    """
    tree = ast.parse(source, feature_version=AGENT_PYTHON)
    known = {*sys.stdlib_module_names, "modnas_agent"}
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: in the agent's archive it lies elsewhere"
            names = [node.module or ""]
        foreign = {name.partition(".")[0] for name in names} - known
        assert not foreign, f"line {node.lineno}: import {', '.join(foreign)} in {entrance}, not at the top"
    return tree
