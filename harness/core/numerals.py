"""Numbers in what people and their files say: plain decimal ones.

Python's own readers also take digits of other scripts and underscores.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def read_number(text: str) -> float:
    """A number such as `12.5`, `1e-3` or `nan`, spaces around it left out. Raises ValueError."""
    stripped = text.strip(" \t")
    if _NUMBER.fullmatch(stripped) is None:
        raise ValueError(f"{stripped!r} is not a number")
    return float(stripped)


def read_whole(text: str) -> int:
    """A whole number such as `16`, spaces around it left out. Raises ValueError."""
    stripped = text.strip(" \t")
    if _WHOLE.fullmatch(stripped) is None:
        raise ValueError(f"{stripped!r} is not a whole number")
    return int(stripped)
