"""Where a board is: what the profile says, completed by `~/.ssh/config`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.home import typed_path
from harness.core.system_errors import told
from harness.transport.settings import SshSettings
from harness.transport.ssh_config import look_up
from harness.transport.ssh_known_hosts import known_name
from harness.transport.ssh_names import MAX_JUMPS, jump_hops, split_destination
from harness.transport.ssh_options import DEFAULT_PORT, HostConfig, Options
from harness.transport.ssh_tokens import replace_in_command, replace_tokens
from modnas.core.bounded import check_file

SYSTEM_KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))
# Of OpenSSH's tokens, those that it replaces in a ProxyCommand and in jump hosts.
_WAY_TOKENS = "hknpr"
_LARGEST_KEY = 1 << 20  # bytes


@dataclass(frozen=True)
class Address:
    """One SSH server and how to get in.

    `jumps`: servers on the way, nearest first. `command`: a shell command that leads there, instead of a
    connection of our own. `new_keys`: where accepted host keys are noted. `options`: the rest of what the
    configuration says.
    """

    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    known_hosts: tuple[Path, ...]
    jumps: tuple[Address, ...] = ()
    identities_only: bool = False
    command: str | None = None
    new_keys: Path | None = None
    options: Options = field(default_factory=Options)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != DEFAULT_PORT else "")

    @property
    def known_name(self) -> str:
        """The name under which known_hosts files have it."""
        return self.options.key_alias or known_name(self.host.lower(), self.port)


def parse_destination(text: str) -> SshSettings:
    """`[user@]host[:port]`, an IPv6 address in brackets, as settings. Raises UsageError."""
    try:
        user, host, port = split_destination(text)
        return SshSettings(host=host, user=user, port=port)
    except ValueError as error:
        raise UsageError(str(error)) from error


def resolve(name: str, settings: SshSettings, config_file: Path | None = None) -> Address:
    """The address of a board: what `ssh` makes of it, but for what the settings say.

    Args:
        name: looked up where the settings name no host.
        config_file: by default the files that OpenSSH reads; they need not exist.

    Raises:
        UsageError: the configuration cannot be used, its jump hosts have no end, or a file is missing.
    """
    return _resolve(name, settings, config_file)


def _resolve(name: str, settings: SshSettings, config_file: Path | None, depth: int = 0) -> Address:
    alias, where = settings.host or name, config_file or "~/.ssh/config"
    if depth > MAX_JUMPS:
        raise UsageError(f"{alias} is a jump host of itself in {where}; correct its ProxyJump there")
    found = look_up(alias, config_file, settings.user, settings.port)
    tokens = {token: found.tokens[token] for token in _WAY_TOKENS}
    try:
        hops = jump_hops(settings.jump or replace_tokens(found.jump or "none", tokens))
        command = None if settings.jump or not found.command else replace_in_command(found.command, tokens)
    except ValueError as error:
        raise UsageError(f"the way to {alias} in {where} cannot be used: {error}") from error
    own, systems = _known_hosts(settings, found)
    return Address(
        host=found.host,
        port=found.port,
        user=found.user,
        identity_files=_identity_files(settings, found),
        known_hosts=(*own, *systems),
        jumps=_jumps(hops, settings, config_file, depth),
        identities_only=found.identities_only,
        command=command,
        new_keys=next(iter(own), None),
        options=found.options,
    )


def _jumps(hops: list[str], target: SshSettings, config_file: Path | None, depth: int) -> tuple[Address, ...]:
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


def _identity_files(settings: SshSettings, found: HostConfig) -> tuple[Path, ...]:
    if settings.identity_file is None:
        return found.identity_files
    path = typed_path(settings.identity_file)
    try:
        check_file(path, _LARGEST_KEY)
    except FileNotFoundError as error:
        raise UsageError(f"identity file {path} does not exist") from error
    except OSError as error:
        raise UsageError(f"identity file {path} cannot be used: {told(error, path)}") from error
    return (path,)


def _known_hosts(settings: SshSettings, found: HostConfig) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Files of host keys: the user's, the first of which is where a new key belongs, and the system's."""
    if settings.known_hosts is not None:
        return (typed_path(settings.known_hosts),), ()
    usual = (Path.home() / ".ssh" / "known_hosts", Path.home() / ".ssh" / "known_hosts2")
    return (
        usual if found.known_hosts is None else found.known_hosts,
        SYSTEM_KNOWN_HOSTS if found.system_known_hosts is None else found.system_known_hosts,
    )
