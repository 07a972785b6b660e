"""What comes from a board is data: texts and JSON values are cleaned and bounded where they enter.

A text from elsewhere may steer a terminal, turn a line around, or be as long as it likes. After this module
it is one printable line of bounded length, so that whoever shows it has nothing to think of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modnas_agent.wire.protocol import ProtocolError, decode

# Longest text kept; the agent's own messages are shorter.
MAX_TEXT = 1000
MAX_KEY = 100
# What a frame may hold. The agent's largest has a thousand samples, some tables and a hundred sensors.
MAX_DEPTH = 10
MAX_VALUES = 10_000
MAX_CHARACTERS = 1 << 16
# Larger than any count or size, and what databases and other languages can still hold.
MAX_WHOLE = 2**63 - 1

# Sequences that a terminal obeys: CSI with its parameters, strings up to their end (OSC, DCS, ...), the rest.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
# Invisible, but parts of ordinary writing: joiners of Indic scripts and emoji, Arabic number signs.
_ORDINARY = frozenset("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2")
REPLACEMENT = "\ufffd"


class ForeignDataError(ValueError):
    """Data from elsewhere that is not worth looking at: too deep, too much, or no JSON object."""


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """`text` as one printable line of at most `limit` characters.

    White space becomes spaces, escape sequences go, and what else is not printable becomes U+FFFD.
    """
    if not text.isprintable():
        text = "".join(map(_shown, _ESCAPES.sub("", text)))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean_lines(text: str) -> str:
    """Every line of an output cleaned, however long: it may be data for a program of ours."""
    return "\n".join(clean_text(line, limit=len(line) + 1) for line in re.split(r"\r?\n", text))


def last_line(text: str) -> str:
    """The last line that is not empty, cleaned: programs name their error last. Empty where there is none."""
    said = [line for line in text.splitlines() if line.strip()]
    return clean_text(said[-1].strip()) if said else ""


def clean_value(value: Any) -> Any:
    """A JSON value with all its texts and names cleaned.

    Raises:
        ForeignDataError: it is nested or numerous beyond what anybody would send in earnest.
    """
    return _Cleaner().value(value, 0)


def clean_object(line: str) -> dict[str, Any]:
    """The JSON object in a line, cleaned. Raises ForeignDataError."""
    try:
        found: dict[str, Any] = clean_value(decode(line.encode("utf-8", "replace")))
    except ProtocolError as error:
        raise ForeignDataError(clean_text(str(error))) from error
    return found


def _shown(character: str) -> str:
    if character.isprintable() or character in _ORDINARY:
        return character
    return " " if character.isspace() else REPLACEMENT


class _Cleaner:
    """One walk over a value, which counts what it meets."""

    def __init__(self) -> None:
        self._values = 0
        self._characters = 0

    def value(self, value: Any, depth: int) -> Any:
        self._values += 1
        if depth > MAX_DEPTH:
            raise ForeignDataError(f"nested deeper than {MAX_DEPTH}")
        if self._values > MAX_VALUES:
            raise ForeignDataError(f"more than {MAX_VALUES} values")
        if isinstance(value, str):
            return self._text(value, MAX_TEXT)
        if isinstance(value, int) and abs(value) > MAX_WHOLE:
            raise ForeignDataError("a whole number of more than 63 bits")
        if isinstance(value, Mapping):
            items = value.items()
            return {self._text(str(name), MAX_KEY): self.value(item, depth + 1) for name, item in items}
        if isinstance(value, list):
            return [self.value(item, depth + 1) for item in value]
        return value

    def _text(self, text: str, limit: int) -> str:
        cleaned = clean_text(text, limit)
        self._characters += len(cleaned)
        if self._characters > MAX_CHARACTERS:
            raise ForeignDataError(f"more than {MAX_CHARACTERS} characters of text")
        return cleaned
