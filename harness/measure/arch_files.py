"""A file that lists architectures, as values with their places: lines, or one JSON or YAML document."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.core.errors import UsageError
from harness.core.system_errors import told
from harness.core.text_files import read_text

# Python's own reader of literals takes memory beyond measure for a long one.
_LONGEST_LITERAL = 20_000
# How a YAML mapping begins; a space's own strings have no blank after the colon.
_MAPPING = re.compile(r"(?:\s*(?:#.*|---.*)?\n)*[\w-]+:(?:[ \t]|\n|$)")


class Listed(NamedTuple):
    """A text or a value of a file, and where it is."""

    where: str
    value: Any


def read_listed(path: Path) -> list[Listed]:
    """Everything a file lists.

    Lines are texts, or values where they are JSON or Python literals in brackets.

    Raises:
        UsageError: the file cannot be read, is no text, or is neither lines nor a document.
    """
    text = read_text(path)
    if text.lstrip()[:1] in ("[", "{"):
        return _json(path, text)
    if _MAPPING.match(text):
        return _yaml(path, text)
    return _lines(path, text)


def _json(path: Path, text: str) -> list[Listed]:
    """One document, or a document a line."""
    try:
        return [Listed(str(path), json.loads(text))]
    except (ValueError, RecursionError) as error:
        lines = _lines(path, text)
        if isinstance(lines[0].value, str):
            raise UsageError(f"{path} is no JSON: {told(error)}") from error
        return lines


def _yaml(path: Path, text: str) -> list[Listed]:
    try:
        documents = [*yaml.safe_load_all(text)]
    # PyYAML lets the errors of its constructors through: of int(), of a date's fields, of deep nesting.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: {getattr(error, 'problem', None)}" if mark else told(error)
        raise UsageError(f"{path} is no YAML: {where}") from error
    return [
        Listed(f"{path}, document {n}", one) for n, one in enumerate(documents, start=1) if one is not None
    ]


def _lines(path: Path, text: str) -> list[Listed]:
    return [
        Listed(f"{path}, line {number}", _value(line.strip()))
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]


def _value(line: str) -> Any:
    """What a line in brackets says; any other is itself."""
    if line[0] not in "[{(" or len(line) > _LONGEST_LITERAL:
        return line
    for read in (json.loads, ast.literal_eval):
        try:
            return read(line)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return line
