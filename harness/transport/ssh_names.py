"""The forms of names that reach an SSH client: users, hosts, ways through other hosts, paths.

A profile may come from a stranger, and what it names may end up in a shell: in the person's own
`ProxyCommand`, or in a command that is shown to be copied. OpenSSH refuses such names on its command line
(`valid_hostname` and `valid_ruser` in its ssh.c, since 9.6); the same are refused here.
"""

from __future__ import annotations

import re
import unicodedata

# OpenSSH has no limit; more hops than this are a circle.
MAX_JUMPS = 8
# Not an option, not two words; IPv6 addresses have colons, and a zone after a percent sign. Names in other
# scripts have a form in ASCII (`xn--...`), which is what the network knows.
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*", re.ASCII)
# valid_ruser's characters, and `$`, which means something between double quotes.
_NOT_IN_USERS = frozenset("'`\";&<>|(){}$@")
_FOLDER = re.compile(r"(?!-)[A-Za-z0-9_./-]*[A-Za-z0-9_-]", re.ASCII)
_DESTINATION = re.compile(
    r"(?:(?P<user>[^@]+)@)?(?:\[(?P<bracketed>[^\]]+)\]|(?P<host>[^:@\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)
# What of Unicode is no text: control characters, surrogates, separators of lines and paragraphs.
_NO_TEXT = frozenset(("Cc", "Cs", "Zl", "Zp"))


def check_host(text: str) -> str:
    """The text, if it can be a host's name or address. Raises ValueError."""
    if _HOST.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no host; expected a name or an address, e.g. raspberrypi.local")
    return text


def check_user(text: str) -> str:
    """The text, if it can be a user's name. Raises ValueError."""
    shown = text.isprintable() and not any(c.isspace() or c in _NOT_IN_USERS for c in text)
    if not text or not shown or text[0] == "-" or text[-1] == "\\":
        raise ValueError(f"{text!r} is no user name; expected one as on the board, e.g. pi")
    return text


def check_path(text: str) -> str:
    """The text, if it can be a file's path; spaces are allowed. Raises ValueError."""
    if not text or text[0] == "-" or any(unicodedata.category(c) in _NO_TEXT for c in text):
        raise ValueError(f"{text!r} is no path; expected one in printable characters, e.g. ~/.ssh/id_ed25519")
    return text


def check_interpreter(text: str) -> str:
    """The text, if it can be a program's name or path: `env` must not take it for a variable.

    Raises ValueError.
    """
    if "=" in text:
        raise ValueError(f"{text!r} is no interpreter; expected a name or a path, e.g. python3.11")
    return check_path(text)


def check_folder(text: str) -> str:
    """The text, if it can be the agent's folder on a board. Raises ValueError."""
    if _FOLDER.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is no folder for the agent; expected letters, digits, '_', '.', '-' and '/', "
            "e.g. .modnas-agent"
        )
    return text


def check_jump(text: str) -> str:
    """The text, if it names hosts on the way, nearest first; `none` and nothing do too. Raises ValueError."""
    hops = jump_hops(text)
    if len(hops) > MAX_JUMPS:
        raise ValueError(f"{len(hops)} hosts on the way; at most {MAX_JUMPS} are possible")
    for hop in hops:
        try:
            split_destination(hop)
        except ValueError as error:
            raise ValueError(f"in {text!r}, {error}") from error
    return text


def jump_hops(text: str) -> list[str]:
    """The destinations in a list of jump hosts."""
    return [] if text in ("", "none") else [hop.strip() for hop in text.split(",")]


def split_destination(text: str) -> tuple[str | None, str, int | None]:
    """User, host and port of `[user@]host[:port]`, an IPv6 address in brackets, `ssh://` before it or not.

    Raises ValueError.
    """
    match = _DESTINATION.fullmatch(text.removeprefix("ssh://").removesuffix("/"))
    try:
        if match is None:
            raise ValueError(text)
        user = None if match["user"] is None else check_user(match["user"])
        port = None if match["port"] is None else int(match["port"])
        if port is not None and not 0 < port < 65536:
            raise ValueError(text)
        return user, check_host(match["bracketed"] or match["host"]), port
    except ValueError as error:
        raise ValueError(f"{text!r} is no SSH destination; expected user@host or user@host:port") from error


def is_plain_word(text: str) -> bool:
    """Whether a shell reads the text as the same single word between any quotes, and without them."""
    return text != "" and text[0] != "-" and all(c.isalnum() or c in "@%+=:,./_-" for c in text)
