"""The options of OpenSSH's configuration that count for a connection, and what their values mean."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.transport.ssh_tokens import expand_path, token_values

DEFAULT_PORT = 22
# OpenSSH's names for lists of algorithms.
ALGORITHMS = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms")
_YES, _NO = frozenset(("yes", "true")), frozenset(("no", "off", "false"))
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Several files, which `ssh -G` tells in one line.
_ONE_LINE = frozenset(("userknownhostsfile", "globalknownhostsfile"))
# What OpenSSH has put in place of tokens and `~` already, where it was asked.
_EXPANDED = _ONE_LINE | {"identityagent"}

Values = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Options:
    """What of the configuration goes into a connection as it is.

    `key_alias`: the name by which host keys are known. `default_identities`: whether keys with the usual
    names are tried. `agent`: socket of the SSH agent, None for the one of the environment, empty for none.
    `strict`: what becomes of an unknown host key, one of OpenSSH's yes, ask, accept-new and no.
    `revoked`: file of keys that no host may have. `algorithms`: by OpenSSH's names, those that are not its
    defaults. `connect_s`: how long connecting may take at most.
    """

    key_alias: str | None = None
    default_identities: bool = True
    certificates: tuple[Path, ...] = ()
    agent: str | None = None
    public_keys: bool = True
    strict: str = "ask"
    hash_names: bool = False
    check_address: bool = False
    check_localhost: bool = True
    revoked: Path | None = None
    algorithms: tuple[tuple[str, str], ...] = ()
    family: socket.AddressFamily = socket.AF_UNSPEC
    bind: str | None = None
    compression: bool = False
    connect_s: float | None = None


@dataclass(frozen=True)
class HostConfig:
    """What the configuration says about a host.

    `known_hosts`: the user's files of host keys, None where it says nothing, empty where it says `none`;
    `system_known_hosts` likewise. `jump`: servers on the way, as in `a,b`. `command`: the ProxyCommand. In
    both, `tokens` are not replaced.
    """

    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    known_hosts: tuple[Path, ...] | None
    system_known_hosts: tuple[Path, ...] | None
    identities_only: bool
    jump: str | None
    command: str | None
    tokens: Mapping[str, str]
    options: Options


def as_config(alias: str, values: Values, defaults: Values, user: str | None, port: int | None) -> HostConfig:
    """What the values of options mean.

    Args:
        values: by OpenSSH's names in small letters.
        defaults: the values that OpenSSH tells without any configuration; empty where the values are the
            files' own.
        user, port: count instead of the values.

    Raises:
        ValueError: a value means nothing.
    """
    given = _Given({key: found for key, found in values.items() if found != defaults.get(key)})
    host = (values.get("hostname") or ["%h"])[0].replace("%h", alias).lower()
    user = user or (values.get("user") or [getpass.getuser()])[0]
    port = port or int(given.one("port") or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ValueError(f"there is no port {port}")
    key_alias = (given.one("hostkeyalias") or "").lower() or None
    given.tokens = token_values(alias, host, str(port), user, key_alias or alias)
    if defaults:
        given.expanded = _EXPANDED
    return HostConfig(
        host=host,
        port=port,
        user=user,
        identity_files=given.paths("identityfile") or (),
        known_hosts=given.paths("userknownhostsfile"),
        system_known_hosts=given.paths("globalknownhostsfile"),
        identities_only=given.is_on("identitiesonly"),
        jump=given.one("proxyjump"),
        command=given.one("proxycommand"),
        tokens=given.tokens,
        options=Options(
            key_alias=key_alias,
            default_identities=given.paths("identityfile") != (),
            certificates=given.paths("certificatefile") or (),
            agent=given.agent(),
            public_keys=given.one("pubkeyauthentication") not in _NO,
            strict=given.strict(),
            hash_names=given.is_on("hashknownhosts"),
            check_address=given.is_on("checkhostip"),
            check_localhost=not given.is_on("nohostauthenticationforlocalhost"),
            revoked=next(iter(given.paths("revokedhostkeys") or ()), None),
            algorithms=tuple((key, text) for key in ALGORITHMS if (text := given.one(key))),
            family=_FAMILIES.get(given.one("addressfamily") or "", socket.AF_UNSPEC),
            bind=given.one("bindaddress"),
            compression=given.is_on("compression"),
            connect_s=given.seconds("connecttimeout"),
        ),
    )


class _Given:
    """Options that were given. `tokens`: what replaces them in paths; `expanded`: where nothing does."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.tokens: Mapping[str, str] = {}
        self.expanded: frozenset[str] = frozenset()

    def one(self, key: str) -> str | None:
        """The value; none where it says so."""
        found = next(iter(self.values.get(key, ())), "none")
        return None if found.lower() == "none" else found

    def is_on(self, key: str) -> bool:
        return self.one(key) in _YES

    def paths(self, key: str) -> tuple[Path, ...] | None:
        """Files; None where nothing is said of them, empty for `none`."""
        if key not in self.values:
            return None
        texts = [text for value in self.values[key] for text in self._split(key, value) if text != "none"]
        return tuple(self._path(key, text) for text in texts)

    def _split(self, key: str, value: str) -> list[str]:
        return [value] if key not in _ONE_LINE else split_paths(value)

    def _path(self, key: str, text: str) -> Path:
        return expand_path(text, None if key in self.expanded else self.tokens)

    def agent(self) -> str | None:
        """The socket of the SSH agent: a path, or the name of the variable that has it."""
        text = (self.values.get("identityagent") or ("SSH_AUTH_SOCK",))[0]
        if text == "SSH_AUTH_SOCK":
            return None
        if re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", text):
            return os.environ.get(text[1:], "")
        return "" if text == "none" else str(self._path("identityagent", text))

    def strict(self) -> str:
        text = self.one("stricthostkeychecking") or "ask"
        return "yes" if text in _YES else "no" if text in _NO else text

    def seconds(self, key: str) -> float | None:
        """A time such as `90`, `1m30s`. Raises ValueError."""
        text = self.one(key)
        if text is None:
            return None
        if not re.fullmatch(r"([0-9]+[smhdw]?)+", text, re.IGNORECASE):
            raise ValueError(f"{text!r} is no time")
        parts = re.findall(r"([0-9]+)([smhdw]?)", text.lower())
        return float(sum(int(number) * _UNIT_S[unit] for number, unit in parts))


def split_paths(text: str) -> list[str]:
    """Paths that stand in one line with spaces between them and, maybe, in them.

    What is there as a file is one; else a path goes up to what looks like the beginning of another.
    """
    words, found = text.split(" "), []
    while words:
        ends = [n for n in range(len(words), 0, -1) if Path(" ".join(words[:n])).is_file()]
        others = [n for n in range(1, len(words)) if words[n].startswith(("/", "~"))]
        end = (ends or others or [len(words)])[0]
        found.append(" ".join(words[:end]))
        words = words[end:]
    return found
