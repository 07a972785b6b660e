"""What `~/.ssh/config` says about a host.

OpenSSH itself is asked where it is installed (`ssh -G`), so that everything it understands counts. Elsewhere
paramiko reads the file; it knows no Include.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import paramiko

from harness.core.errors import UsageError

# `Match exec` in the configuration runs a command of the user's.
ASK_S = 10.0

Values = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class HostConfig:
    """The options that count here; None or empty where the file says nothing.

    `jump`: servers on the way, as in `a,b`. `command`: the ProxyCommand, its tokens (`%h`) not replaced.
    `key_alias`: the name that such a command is given for the host's key.
    """

    host: str | None = None
    port: int | None = None
    user: str | None = None
    identity_files: tuple[Path, ...] = ()
    known_hosts: tuple[Path, ...] = ()
    identities_only: bool = False
    jump: str | None = None
    command: str | None = None
    key_alias: str | None = None


def look_up(alias: str, path: Path) -> HostConfig:
    """What the file says about a host; nothing when there is no file. Raises UsageError."""
    if not path.exists():
        return HostConfig()
    program = shutil.which("ssh")
    if program is None:
        return _as_config(_read(alias, path), {})
    return _as_config(_ask(program, str(path), alias), _defaults(program))


@cache
def _defaults(program: str) -> Values:
    """What OpenSSH says without any file: it tells its defaults as if they were asked for."""
    return _ask(program, "none", "localhost")


def _ask(program: str, path: str, alias: str) -> Values:
    try:
        done = subprocess.run(
            [program, "-G", "-T", "-F", path, "--", alias],  # -T: it would say that there is no terminal
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=ASK_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{path} cannot be used: a command in it took more than {ASK_S:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.splitlines()
        raise UsageError(f"{path} cannot be used: {said[0] if said else 'ssh -G fails'}")
    values: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        values.setdefault(key, []).append(value)
    return values


def _read(alias: str, path: Path) -> Values:
    try:
        found = paramiko.SSHConfig.from_path(str(path)).lookup(alias)
    # `Match exec` needs a package of its own.
    except (OSError, ValueError, ImportError, paramiko.SSHException) as error:
        raise UsageError(f"{path} cannot be used: {error}") from error
    return {key: value if isinstance(value, list) else [value] for key, value in found.items()}


def _as_config(values: Values, defaults: Values) -> HostConfig:
    def all_of(key: str) -> Sequence[str]:
        found = values.get(key, [])
        return [] if found == defaults.get(key) else found

    def one_of(key: str) -> str | None:
        found = next(iter(all_of(key)), "none")
        return None if found == "none" else found

    port = one_of("port")
    return HostConfig(
        host=next(iter(values.get("hostname", [])), None),
        port=None if port is None else int(port),
        user=one_of("user"),
        identity_files=tuple(Path(path).expanduser() for path in all_of("identityfile")),
        known_hosts=tuple(Path(p).expanduser() for p in (one_of("userknownhostsfile") or "").split()),
        identities_only=one_of("identitiesonly") == "yes",
        jump=one_of("proxyjump"),
        command=one_of("proxycommand"),
        key_alias=one_of("hostkeyalias"),
    )
