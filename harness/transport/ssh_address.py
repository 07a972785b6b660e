"""Where a board is: what the profile says, completed by `~/.ssh/config`."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from harness.devices.profile import SshSettings
from harness.errors import UsageError

DEFAULT_PORT = 22
_DESTINATION = re.compile(
    r"(?:(?P<user>[^@\s-][^@\s]*)@)?(?:\[(?P<bracketed>[^\]\s]+)\]|(?P<host>[^:@\s-][^:@\s]*))(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True)
class Address:
    """One SSH server and how to get in. `jumps`: servers on the way, nearest first."""

    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    known_hosts: tuple[Path, ...]
    jumps: tuple[Address, ...] = ()
    identities_only: bool = False

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
        UsageError: the configuration cannot be read or asks for what is not supported; a file is missing.
    """
    return _resolve(name, settings, _read_config(config_file or Path.home() / ".ssh" / "config"))


def _read_config(path: Path) -> paramiko.SSHConfig:
    if not path.exists():
        return paramiko.SSHConfig()
    try:
        return paramiko.SSHConfig.from_path(str(path))
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise UsageError(f"{path} cannot be used: {error}") from error


def _resolve(name: str, settings: SshSettings, config: paramiko.SSHConfig) -> Address:
    alias = settings.host or name
    try:
        found: dict[str, Any] = dict(config.lookup(alias))
    except (ImportError, paramiko.SSHException) as error:  # `Match exec` needs a package of its own
        raise UsageError(f"~/.ssh/config has something that is not supported here: {error}") from error
    if found.get("proxycommand", "none") != "none":
        raise UsageError(f"ProxyCommand for {alias} in ~/.ssh/config is not supported; use ProxyJump")
    jump = settings.jump or found.get("proxyjump", "none")
    hops = [] if jump == "none" else [hop.strip() for hop in jump.split(",")]
    return Address(
        host=found.get("hostname", alias),
        port=settings.port or int(found.get("port", DEFAULT_PORT)),
        user=settings.user or found.get("user") or getpass.getuser(),
        identity_files=_identity_files(settings, found),
        known_hosts=_known_hosts(settings, found),
        jumps=tuple(_jump(hop, settings, config) for hop in hops),
        identities_only=found.get("identitiesonly") == "yes",
    )


def _jump(hop: str, target: SshSettings, config: paramiko.SSHConfig) -> Address:
    """A server on the way. Files that the profile names count for it too, as they would on a command line."""
    given = parse_destination(hop)
    files = {"identity_file": target.identity_file, "known_hosts": target.known_hosts, "jump": "none"}
    return _resolve(hop, given.model_copy(update=files), config)


def _identity_files(settings: SshSettings, found: dict[str, Any]) -> tuple[Path, ...]:
    if settings.identity_file is None:
        return tuple(Path(path).expanduser() for path in found.get("identityfile", []))
    path = Path(settings.identity_file).expanduser()
    if not path.is_file():
        raise UsageError(f"identity file {path} does not exist")
    return (path,)


def _known_hosts(settings: SshSettings, found: dict[str, Any]) -> tuple[Path, ...]:
    """Files of host keys; the first one is where a new key belongs."""
    if settings.known_hosts is not None:
        return (Path(settings.known_hosts).expanduser(),)
    named = str(found.get("userknownhostsfile", "~/.ssh/known_hosts")).split()
    return tuple(Path(path).expanduser() for path in [*named, "/etc/ssh/ssh_known_hosts"])
