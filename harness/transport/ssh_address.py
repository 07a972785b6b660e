"""Where a board is: what the profile says, completed by `~/.ssh/config`."""

from __future__ import annotations

import getpass
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from harness.devices.profile import SshSettings
from harness.errors import UsageError
from harness.transport.ssh_config import HostConfig, look_up

DEFAULT_PORT = 22
# OpenSSH has no limit; more hops than this are a circle.
MAX_JUMPS = 8
_DESTINATION = re.compile(
    r"(?:(?P<user>[^@\s-][^@\s]*)@)?(?:\[(?P<bracketed>[^\]\s]+)\]|(?P<host>[^:@\s-][^:@\s]*))(?::(?P<port>\d{1,5}))?"
)


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
    match = _DESTINATION.fullmatch(text)
    if match is None or not 0 < int(match["port"] or DEFAULT_PORT) < 65536:
        raise UsageError(f"{text!r} is no SSH destination; expected user@host or user@host:port")
    try:
        return SshSettings(
            host=match["bracketed"] or match["host"],
            user=match["user"],
            port=int(match["port"]) if match["port"] else None,
        )
    except ValueError as error:
        raise UsageError(f"{text!r} is no SSH destination: the host's name is malformed") from error


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
    jump = settings.jump or found.jump or "none"
    hops = [] if jump == "none" else [hop.strip() for hop in jump.split(",")]
    host = found.host or alias
    port = settings.port or found.port or DEFAULT_PORT
    user = settings.user or found.user or getpass.getuser()
    command = None if settings.jump else found.command
    return Address(
        host=host,
        port=port,
        user=user,
        identity_files=_identity_files(settings, found),
        known_hosts=_known_hosts(settings, found),
        jumps=_jumps(hops, settings, config_file, depth),
        identities_only=found.identities_only,
        command=command and _replace_tokens(command, {"h": host, "p": str(port), "r": user, "n": alias}),
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


def _replace_tokens(command: str, values: dict[str, str]) -> str:
    """The command with OpenSSH's tokens `%h`, `%p`, `%r`, `%n` and `%%` replaced, for a shell.

    A host's name may come from the profile: names with a meaning for a shell do not get there (HOST_PATTERN);
    a user's is quoted.
    """
    quoted = {"%": "%", **{key: shlex.quote(value) for key, value in values.items()}}
    return re.sub(r"%([hprn%])", lambda match: quoted[match[1]], command)


def _identity_files(settings: SshSettings, found: HostConfig) -> tuple[Path, ...]:
    if settings.identity_file is None:
        return found.identity_files
    path = Path(settings.identity_file).expanduser()
    if not path.is_file():
        raise UsageError(f"identity file {path} does not exist")
    return (path,)


def _known_hosts(settings: SshSettings, found: HostConfig) -> tuple[Path, ...]:
    """Files of host keys; the first one is where a new key belongs."""
    if settings.known_hosts is not None:
        return (Path(settings.known_hosts).expanduser(),)
    named = found.known_hosts or (Path("~/.ssh/known_hosts").expanduser(),)
    return (*named, Path("/etc/ssh/ssh_known_hosts"))
