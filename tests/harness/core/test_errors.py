"""Errors that people meet: one base, a code each, and no branch of the program that reads a message."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import modnas_agent

import harness
import modnas
from harness.core.errors import DeviceUnavailableError, ModnasHwError, UsageError, reworded
from harness.export.tvm.errors import CompileError
from modnas.core.errors import InputError, ModnasError

PACKAGES = (modnas, harness, modnas_agent)
# Where the words of a foreign library are read, because it gives nothing else.
ENTRANCES = {"harness/transport/ssh_errors.py", "modnas_agent/foreign_errors.py"}

# How an error's words are named where they are at hand.
MESSAGE = re.compile(r"(str|repr)\(|.*\b(lower|message|text|said|reason|stderr|line|log)\b")


def errors() -> list[type[ModnasError]]:
    """Every error of the project, whatever module it is in."""
    for package in (modnas, harness):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name and ".tvm.worker" not in module.name:
                try:
                    importlib.import_module(module.name)
                except ImportError as error:  # an extra's package
                    assert not str(error.name).startswith(("modnas", "harness")), module.name
    found, waiting = [], [ModnasError]
    while waiting:
        kind = waiting.pop()
        if kind in found or not kind.__module__.startswith(("modnas.", "harness.")):
            continue
        found.append(kind)
        waiting.extend(kind.__subclasses__())
    return found


def test_every_error_has_a_code_of_its_own() -> None:
    found = errors()
    assert len(found) > 30
    heirs = [kind.__qualname__ for kind in found if "code" not in vars(kind)]
    assert not heirs, f"these have their parents' codes: {heirs}"
    for kind in found:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", kind.code), kind.code
    codes = [kind.code for kind in found]
    assert len(set(codes)) == len(codes), sorted(code for code in codes if codes.count(code) > 1)
    assert not {"internal", "interrupted"} & set(codes), "what is no error of ours has these"


def test_codes_are_promises() -> None:
    kinds = {kind.__name__: kind.code for kind in errors()}
    promised = {
        "ModnasError": "error",
        "InputError": "input",
        "ModnasHwError": "failed",
        "UsageError": "usage",
        "DeviceUnavailableError": "device-unavailable",
        "HostKeyUnknownError": "host-key-unknown",
        "HostKeyChangedError": "host-key-changed",
        "LoginRefusedError": "login-refused",
        "TransportClosedError": "connection-lost",
        "TransportTimeoutError": "connection-timeout",
        "StoreError": "store",
        "InUseError": "in-use",
        "DatasetError": "no-measurements",
        "ProfileError": "device-profile",
        "TaskError": "task",
        "ArchitectureError": "architecture",
    }
    assert {name: kinds[name] for name in promised} == promised


def test_another_message_changes_nothing_else() -> None:
    error = CompileError("it failed", "the log")
    error.details = ("a line",)
    found = reworded(error, "there: it failed")
    assert (type(found), str(found)) == (CompileError, "there: it failed")
    assert (found.log, found.details, str(error)) == ("the log", ("a line",), "it failed")


def test_every_code_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "python.md").read_text()
    assert not [kind.code for kind in errors() if f"`{kind.code}`" not in text]


def test_exit_codes() -> None:
    for kind in errors():
        wrong, unavailable = issubclass(kind, InputError), issubclass(kind, DeviceUnavailableError)
        assert kind.exit_code == (2 if wrong else 3 if unavailable else 1), kind
    assert issubclass(UsageError, ModnasHwError) and issubclass(ModnasHwError, ModnasError)


def readings(tree: ast.AST) -> Iterator[str]:
    """Comparisons of words with a message: `"no space" in str(error)`, `sign in lower`, in any case."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], (ast.In, ast.NotIn)):
            continue
        word, read = node.left, ast.unparse(node.comparators[0])
        literal = isinstance(word, ast.Constant) and re.search("[A-Za-z]{3}", str(word.value))
        if (literal or ast.unparse(word) == "sign") and MESSAGE.match(read):
            yield ast.unparse(node)


def test_messages_are_read_only_where_a_foreign_library_gives_nothing_else() -> None:
    found = {
        path.relative_to(folder.parent).as_posix()
        for folder in (Path(str(package.__file__)).parent for package in PACKAGES)
        for path in folder.rglob("*.py")
        if any(readings(ast.parse(path.read_text())))
    }
    assert found == ENTRANCES
