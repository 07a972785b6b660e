"""Where a board is: what the profile says, completed by `~/.ssh/config`."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.system_errors import told
from harness.transport.settings import SshSettings
from harness.transport.ssh_config import HostConfig, look_up
from harness.transport.ssh_names import MAX_JUMPS, is_plain_word, jump_hops, split_destination
from modnas.core.bounded import check_file

DEFAULT_PORT = 22
_LARGEST_KEY = 1 << 20  # bytes


@dataclass(frozen=True)
class Address:
    """One SSH server and how to get in.

    `jumps`: servers on the way, nearest first. `command`: a shell command that leads there, instead of a
    connection of our own.
    """

    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    known_hosts: tuple[Path, ...]
    jumps: tuple[Address, ...] = ()
    identities_only: bool = False
    command: str | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != DEFAULT_PORT else "")

    @property
    def known_name(self) -> str:
        """The name under which known_hosts files have it."""
        return self.host if self.port == DEFAULT_PORT else f"[{self.host}]:{self.port}"


def parse_destination(text: str) -> SshSettings:
    """`[user@]host[:port]`, an IPv6 address in brackets, as settings. Raises UsageError."""
    try:
        user, host, port = split_destination(text)
        return SshSettings(host=host, user=user, port=port)
    except ValueError as error:
        raise UsageError(str(error)) from error


def resolve(name: str, settings: SshSettings, config_file: Path | None = None) -> Address:
    """The address of a board.

    Args:
        name: looked up where the settings name no host.
        config_file: by default `~/.ssh/config`; it need not exist.

    Raises:
        UsageError: the configuration cannot be used, its jump hosts have no end, or a file is missing.
    """
    return _resolve(name, settings, config_file or Path.home() / ".ssh" / "config")


def _resolve(name: str, settings: SshSettings, config_file: Path, depth: int = 0) -> Address:
    alias = settings.host or name
    if depth > MAX_JUMPS:
        raise UsageError(f"{alias} is a jump host of itself in {config_file}; correct its ProxyJump there")
    found = look_up(alias, config_file)
    hops = jump_hops(settings.jump or found.jump or "none")
    host = found.host or alias
    port = settings.port or found.port or DEFAULT_PORT
    user = settings.user or found.user or getpass.getuser()
    command = None if settings.jump else found.command
    if command is not None:
        tokens = {"h": host, "k": found.key_alias or alias, "n": alias, "p": str(port), "r": user}
        command = _replace_tokens(command, tokens, f"the ProxyCommand to {alias} in {config_file}")
    return Address(
        host=host,
        port=port,
        user=user,
        identity_files=_identity_files(settings, found),
        known_hosts=_known_hosts(settings, found),
        jumps=_jumps(hops, settings, config_file, depth),
        identities_only=found.identities_only,
        command=command,
    )


def _jumps(hops: list[str], target: SshSettings, config_file: Path, depth: int) -> tuple[Address, ...]:
    """Servers on the way, nearest first. The way to the first of them is the configuration's business too.

    Files that the profile names count for all of them, as they would on a command line.
    """
    found: list[Address] = []
    files = {"identity_file": target.identity_file, "known_hosts": target.known_hosts}
    for hop in hops:
        update = {**files, "jump": "none"} if found else files
        one = _resolve(hop, parse_destination(hop).model_copy(update=update), config_file, depth + 1)
        found += [*one.jumps, replace(one, jumps=())]
    return tuple(found)


def _replace_tokens(command: str, values: Mapping[str, str], where: str) -> str:
    """The command for a shell with OpenSSH's tokens replaced, those that it replaces there.

    Whoever wrote the command may have quoted a token in any way, so no quoting of ours would hold: a value
    that a shell could read as anything else than itself is refused. Raises UsageError.
    """

    def value(match: re.Match[str]) -> str:
        token = match[1]
        if token == "%":
            return "%"
        if token not in values:
            known = ", ".join(f"%{key}" for key in values)
            raise UsageError(f"{where} has the unknown token {match[0]!r}; known: %%, {known}")
        if not is_plain_word(values[token]):
            raise UsageError(
                f"{where} cannot be given {values[token]!r} for {match[0]}: a shell reads it, so "
                "only letters, digits and @%+=:,./_- may be in it"
            )
        return values[token]

    return re.sub(r"%(.?)", value, command, flags=re.DOTALL)


def _identity_files(settings: SshSettings, found: HostConfig) -> tuple[Path, ...]:
    if settings.identity_file is None:
        return found.identity_files
    path = Path(settings.identity_file).expanduser()
    try:
        check_file(path, _LARGEST_KEY)
    except FileNotFoundError as error:
        raise UsageError(f"identity file {path} does not exist") from error
    except OSError as error:
        raise UsageError(f"identity file {path} cannot be used: {told(error, path)}") from error
    return (path,)


def _known_hosts(settings: SshSettings, found: HostConfig) -> tuple[Path, ...]:
    """Files of host keys; the first one is where a new key belongs."""
    if settings.known_hosts is not None:
        return (Path(settings.known_hosts).expanduser(),)
    named = found.known_hosts or (Path("~/.ssh/known_hosts").expanduser(),)
    return (*named, Path("/etc/ssh/ssh_known_hosts"))
