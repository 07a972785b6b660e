"""What may import what."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import modnas_agent
import pytest

import harness
import modnas

PACKAGES = {module.__name__: Path(str(module.__file__)).parent for module in (modnas, harness, modnas_agent)}


def sources(package: str) -> list[Path]:
    found = sorted(PACKAGES[package].rglob("*.py"))
    assert len(found) > 5
    return found


def imported(node: ast.AST) -> Iterator[str]:
    """Top-level names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield str(node.module).partition(".")[0]
    elif (
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ):
        yield str(node.args[0].value).partition(".")[0]


def anywhere(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in imported(node)}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def at_import(path: Path) -> set[str]:
    """Modules imported when the file is: not those inside functions, nor those for type checkers."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or is_type_checking(node):
            continue
        found.update(imported(node))
        waiting.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("path", sources("modnas"), ids=str)
def test_the_algorithm_knows_nothing_of_hardware(path: Path) -> None:
    assert not anywhere(path) & {"harness", "modnas_agent", "device_profiles"}


@pytest.mark.parametrize("path", sources("modnas_agent"), ids=str)
def test_the_agent_needs_only_the_standard_library(path: Path) -> None:
    assert not anywhere(path) & {"harness", "modnas", "device_profiles"}
    assert at_import(path) <= {*sys.stdlib_module_names, "modnas_agent"}


BLOCKED = """
import importlib, pkgutil, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("harness", "modnas_agent", "device_profiles"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
import modnas
names = [m.name for m in pkgutil.walk_packages(modnas.__path__, "modnas.")]
for name in names:
    importlib.import_module(name)
try:
    import harness
except ImportError:
    print(len(names))
"""


@pytest.mark.slow
def test_the_algorithm_imports_without_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_importing_the_command_line_loads_no_runtime() -> None:
    code = "import sys, harness.cli; print(sorted({'onnxruntime', 'tensorboard'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
