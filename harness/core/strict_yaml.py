"""YAML without what surprises in it: whatever is read as something else than it looks like is refused.

YAML 1.1 lets keys stand twice, of which the last wins; reads `no` as false, `010` as 8 and `1:30` as 90; and
has anchors, merges, tags and keys of any type, which no file of the project needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from harness.core.foreign import clean_text

_PLAIN = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)(e[-+][0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE
    ),
    "tag:yaml.org,2002:bool": re.compile(r"true|false", re.IGNORECASE),
}
_TEXT = "tag:yaml.org,2002:str"
_TIME = "tag:yaml.org,2002:timestamp"


class StrictYamlError(ValueError):
    """A text that is no YAML, or YAML that would be read as something else than it looks like."""


def read_yaml(text: str) -> Any:
    """The value of one document; None of an empty one.

    Raises:
        StrictYamlError: what is wrong with it, where, and how to write it.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        for problem in _problems(node, "") if node else ():
            raise _error(problem)
        return loader.construct_document(node) if node else None
    except StrictYamlError:
        raise
    except yaml.composer.ComposerError as error:
        raise _error(f"{_line(error.problem_mark)}: another document begins; keep one") from error
    except yaml.MarkedYAMLError as error:
        where = f"{_line(error.problem_mark)}: " if error.problem_mark else ""
        raise _error(f"{where}{error.problem or error}") from error
    # PyYAML lets the errors of its constructors through: of int(), of a date's fields, of deep nesting.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise _error(str(error)) from error


def _error(message: str) -> StrictYamlError:
    return StrictYamlError(clean_text(" ".join(message.split())))


class _Loader(yaml.SafeLoader):
    """Refuses what is gone once nodes are made: tags, anchors and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        where = _line(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"{where}: *{event.anchor} repeats what is said elsewhere; write it out here")
        if event.anchor is not None:
            raise _error(f"{where}: take the anchor &{event.anchor} out")
        if event.tag is not None:
            raise _error(f"{where}: take the tag {event.tag} out")
        return super().compose_node(parent, index)


def _problems(node: yaml.Node, path: str) -> Iterator[str]:
    """What would be read as something else than it looks like, from the beginning of the text on."""
    if isinstance(node, yaml.MappingNode):
        yield from _of_keys(node, path)
        for key, value in node.value:
            yield from _problems(value, f"{path}.{key.value}" if path else key.value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _problems(value, path)
    elif isinstance(node, yaml.ScalarNode) and (problem := _of_scalar(node)):
        yield f"{_line(node.start_mark)}: field {path}: {problem}"


def _of_keys(node: yaml.MappingNode, path: str) -> Iterator[str]:
    lines: dict[str, int] = {}
    inside = f" of {path}" if path else ""
    for key, _ in node.value:
        where, line = _line(key.start_mark), key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield f"{where}: a field{inside} is named by a list or a mapping; give it a name"
        elif key.value == "<<":
            yield f"{where}: << merges fields{inside} from elsewhere; write them out here"
        elif key.tag != _TEXT:
            yield f"{where}: field {key.value}{inside} is no text; if it is meant, write {_quoted(key.value)}"
        elif key.value in lines:
            first = lines[key.value]
            yield f"{where}: field {key.value}{inside} is in line {first} already; keep one of them"
        else:
            lines[key.value] = line


def _of_scalar(node: yaml.ScalarNode) -> str | None:
    """How a plain word or number is not what it looks like, and how to write what is meant."""
    text = node.value
    if node.tag == _TIME:
        return f"{text} would be read as a date; write {_quoted(text)}"
    plain = _PLAIN.get(node.tag)
    if plain is None or plain.fullmatch(text):
        return None
    value = yaml.safe_load(text)
    meant = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"{text} would be read as {meant}; write {meant} for that, or {_quoted(text)} for the text"


def _quoted(text: str) -> str:
    return f'"{text}"'


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}"
