"""What OpenSSH's configuration says about a host.

OpenSSH itself is asked where it is installed (`ssh -G`), so that everything it understands counts. Elsewhere
the files are read here, see `ssh_config_files`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from functools import cache
from pathlib import Path

from harness.core.errors import UsageError
from harness.transport.ssh_config_files import read_files
from harness.transport.ssh_options import HostConfig, Values, as_config

# `Match exec` in the configuration runs a command of the user's.
ASK_S = 10.0
SYSTEM_FILE = Path("/etc/ssh/ssh_config")


def look_up(
    alias: str, path: Path | None = None, user: str | None = None, port: int | None = None
) -> HostConfig:
    """What the configuration says about a host.

    Args:
        path: the only file to read; by default those that OpenSSH reads. It need not exist.
        user, port: count instead of what the files say, whose conditions and tokens may ask for them.

    Raises:
        UsageError: the configuration cannot be used.
    """
    file = path or _home_file()
    where = f"{file or '~/.ssh/config'} cannot be used"
    program = _openssh()
    try:
        if program is None:
            return as_config(alias, _read(alias, file, user), {}, user, port)
        given = [*(("-l", user) if user else ()), *(("-p", str(port)) if port else ())]
        source = () if file is None else ("-F", str(file) if file.exists() else "none")
        values = _ask(program, *source, *given, "--", alias)
        return as_config(alias, values, _defaults(program), user, port)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def _openssh() -> str | None:
    """The program, if it is one that answers: Dropbear has an `ssh` too, and a user may have no name here."""
    program = shutil.which("ssh")
    if program is None:
        return None
    try:
        _defaults(program)
    except ValueError:
        return None
    return program


def _home_file() -> Path | None:
    """The user's file where OpenSSH would not look for it, because HOME is not what the passwd file says."""
    home = Path.home()
    return None if str(home) == _passwd_home() else home / ".ssh" / "config"


def _passwd_home() -> str | None:
    """None for a user without an entry, as in some containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None


def _read(alias: str, file: Path | None, user: str | None) -> dict[str, list[str]]:
    own = file or Path.home() / ".ssh" / "config"
    return read_files(alias, (own,) if file else (own, SYSTEM_FILE), user)


@cache
def _defaults(program: str) -> Values:
    """What OpenSSH says without any file: it tells its defaults as if they were asked for."""
    return _ask(program, "-F", "none", "--", "localhost")


def _ask(program: str, *arguments: str) -> Values:
    try:
        done = subprocess.run(
            [program, "-G", "-T", *arguments],  # -T: it would say that there is no terminal
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
            timeout=ASK_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"a command in it took more than {ASK_S:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.splitlines()
        raise ValueError(said[0] if said else "ssh -G fails")
    values: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        values.setdefault(key.lower(), []).append(value)
    return values
