"""What libraries and programs say by the paragraph, as one clause: what is wrong, and what to do.

The words are those of NumPy, the dynamic loader, pip, TVM and the Raspberry Pi's tools. What is not known
stays as it was said; reasons of the protocol are another matter (see `foreign_errors`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Match

from modnas_agent.permissions import permission_hint

_Meaning = Callable[["Match[str]"], str]


def meaning_of(text: str) -> str | None:
    """What a text of another program means, or None where its words are not known."""
    for pattern, meaning in _MEANINGS:
        match = pattern.search(text)
        if match is not None:
            return meaning(match)
    return None


def understood(text: str) -> str:
    """What a text means, or the text itself on one line."""
    return meaning_of(text) or " ".join(text.split())


def _says(text: str) -> _Meaning:
    return lambda match: match.expand(text)


def _device(name: str) -> str:
    path = Path(name)
    if not path.exists():
        return f"{path} is not there: the firmware of a Raspberry Pi is needed"
    return f"no permission to use {path}; {permission_hint(path)}"


def _inner(match: Match[str]) -> str:
    return f"NumPy cannot be imported: {understood(match.group(1).strip())}"


def _check(match: Match[str]) -> str:
    return f"a check of TVM failed: {match.group(2).strip() or match.group(1).strip()}"


_ANOTHER_NUMPY = "it was built for another NumPy than is installed; upgrade both: pip install --upgrade"
_NO_INDEX = r"the package index cannot be reached (\1); check this machine's network"
#: The first that fits counts: what names a cause stands before what only wraps one.
_TABLE: tuple[tuple[str, _Meaning], ...] = (
    # NumPy
    (r"Original error was: ([^\n]+)", _inner),
    (r"_ARRAY_API not found|compiled using NumPy 1\.x|numpy\.core\.multiarray failed", _says(_ANOTHER_NUMPY)),
    (r"numpy\.\w+ size changed|compiled against (?:ABI|API) version", _says(_ANOTHER_NUMPY)),
    # The dynamic loader
    (
        r"version [`'](GLIBC|GLIBCXX|CXXABI)_([0-9.]+)' not found",
        _says(r"it needs \1 \2, which is newer than this system's; install an older version of it"),
    ),
    (
        r"(\S+): cannot open shared object file",
        _says(r"the system library \1 is missing (cannot open shared object file); install its package"),
    ),
    (
        r"wrong ELF class: ELFCLASS(\d+)",
        _says(r"it is built for \1 bits, and this Python is not; install it with this Python's own pip"),
    ),
    (
        r"(\S+): failed to map segment",
        _says(r"programs in the folder of \1 may not run (failed to map segment): it is mounted noexec"),
    ),
    (
        r"(importing \S+ ended with SIGILL)",
        _says(r"\1: this processor lacks an instruction that it is built with"),
    ),
    # The Raspberry Pi's vcgencmd
    (r"(?:open|access)\w*[^\n]*?(/dev/(?:vchiq|vcio|vcsm\w*))", lambda found: _device(found.group(1))),
    (r"VCHI? ?init\w* failed|vchi?q?_init\w* failed", lambda _: _device("/dev/vchiq")),
    # pip
    (
        r"externally-managed-environment",
        _says("the system's Python takes no packages; make an environment with: python3 -m venv"),
    ),
    (r"No module named '?(pip|venv|ensurepip)'?", _says(r"this Python has no \1; install python3-\1")),
    (r"DO NOT MATCH THE HASHES", _says("what was downloaded is damaged; give the command again")),
    (r"(CERTIFICATE_VERIFY_FAILED)", _says(rf"{_NO_INDEX}, its clock and its certificates")),
    (
        r"(Temporary failure in name resolution|Name or service not known|Network is unreachable|"
        r"Connection refused|Connection timed out|Read timed out)",
        _says(_NO_INDEX),
    ),
    (r"No matching distribution found for (\S+)", _says(r"no version of \1 fits this Python and machine")),
    # TVM
    (
        r"operators are not supported for frontend ONNX: ([^\n]+)",
        _says(r"TVM has no ONNX operator \1"),
    ),
    (
        r"[Tt]arget[ \w.]* (\w+) is not enabled",
        _says(r"this TVM was built without \1; install apache-tvm anew"),
    ),
    (r"Check failed: \(?([^\n]*?)\)? is false:?([^\n]*)", _check),
)
_MEANINGS = tuple((re.compile(pattern), meaning) for pattern, meaning in _TABLE)
