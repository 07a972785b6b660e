"""OpenSSH's tokens, `%h` and the like, in what its configuration says."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from harness.transport.ssh_names import is_plain_word

_TOKEN = re.compile(r"%(.?)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def token_values(alias: str, host: str, port: str, user: str, key_alias: str) -> dict[str, str]:
    """What each token stands for; `alias` is the name that was asked for."""
    name = socket.gethostname()
    values = {
        "d": str(Path.home()),
        "h": host,
        "i": str(os.getuid()),
        "k": key_alias,
        "L": name.partition(".")[0],
        "l": name,
        "n": alias,
        "p": port,
        "r": user,
        "u": getpass.getuser(),
    }
    identity = "".join(values[token] for token in "lhpr").encode("utf-8", "surrogateescape")
    return {**values, "C": hashlib.sha1(identity).hexdigest()}


def replace_tokens(text: str, values: Mapping[str, str]) -> str:
    """The text with its tokens replaced. Raises ValueError for one that is not known."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] not in values:
            known = ", ".join(f"%{token}" for token in values)
            raise ValueError(f"unknown token {match[0]!r}; known: %%, {known}")
        return values[match[1]]

    return _TOKEN.sub(value, text)


def expand_path(text: str, values: Mapping[str, str] | None) -> Path:
    """A path with `~` and, if there are values, tokens and `${VARIABLE}` replaced. Raises ValueError."""

    def variable(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ValueError(f"the variable {match[0]} in {text!r} is not set")
        return os.environ[match[1]]

    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"nobody is known whose home could be the one in {text!r}") from error
    return path if values is None else Path(_VARIABLE.sub(variable, replace_tokens(str(path), values)))


def replace_in_command(command: str, values: Mapping[str, str]) -> str:
    """A command for a shell with its tokens replaced.

    Whoever wrote the command may have quoted a token in any way, so no quoting of ours would hold: a value
    that a shell could read as anything else than itself is refused. Raises ValueError.
    """
    for token in set(_TOKEN.findall(command)) & set(values):
        if not is_plain_word(values[token]):
            raise ValueError(
                f"{values[token]!r} cannot be put in for %{token}: a shell reads it, so only letters, digits "
                "and @%+=:,./_- may be in it"
            )
    return replace_tokens(command, values)
