"""What `ssh HOST` makes of configurations and files of host keys is what we make of them."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from boards_keys import missing_programs
from openssh_cases import CONFIGURATIONS, KNOWN_HOSTS, Case
from openssh_judge import JudgedServer

from harness.core.errors import UsageError
from harness.transport import ssh_config
from harness.transport.settings import SshSettings
from harness.transport.ssh_address import Address, resolve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgedServer]:
    if missing := missing_programs("sshd", "ssh", "ssh-keygen", "ssh-agent", "ssh-add"):
        pytest.skip(f"no {', '.join(missing)}; install openssh-server and openssh-client")
    made = JudgedServer(tmp_path_factory.mktemp("judged"))
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def home_of_the_user(no_ssh_of_the_user: Path, server: JudgedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSH takes `~` for the home in the passwd file; every case names its files."""
    monkeypatch.setenv("HOME", pwd.getpwuid(os.getuid()).pw_dir)
    monkeypatch.setenv("JUDGED_KEYS", server.words["keys"])


@pytest.mark.parametrize("case", CONFIGURATIONS + KNOWN_HOSTS, ids=lambda case: case.name)
def test_what_ssh_accepts_is_accepted(
    case: Case, server: JudgedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        if case.agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", stack.enter_context(server.agent(*case.agent)))
        expected = server.ask_openssh(tmp_path / "theirs", case.files, case.alias)
        assert server.ask_ours(tmp_path / "ours", case.files, case.alias) == expected


@pytest.mark.parametrize(
    "case", [case for case in CONFIGURATIONS if case.for_files], ids=lambda case: case.name
)
def test_files_are_read_as_openssh_reads_them(
    case: Case, server: JudgedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no OpenSSH that could be asked."""
    config = server.write(tmp_path, case.files)

    def read() -> Address | None:
        try:
            found = resolve(case.alias, SshSettings(), config)
        except UsageError:
            return None
        return replace(found, options=replace(found.options, algorithms=()))

    expected = read()
    monkeypatch.setattr(ssh_config.shutil, "which", lambda _: None)
    assert read() == expected
    assert shutil.which("ssh") is None


_RESOLVE = """
import shutil, sys
from harness.transport import ssh_config
from harness.transport.settings import SshSettings
from harness.transport.ssh_address import resolve
if sys.argv[1] == "files":
    ssh_config.shutil.which = lambda _: None
found = resolve("pi", SshSettings())
print(found, found.options.hash_names, *found.identity_files)
"""


@pytest.mark.parametrize("read_by", ["OpenSSH", "files"])
def test_the_files_that_ssh_reads_are_those_of_the_user_and_the_system(
    read_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file system where the user's home and the system's configuration are others."""
    if os.geteuid() != 0 or missing_programs("unshare", "mount"):
        pytest.skip("files in place of the system's own need root, unshare and mount")
    me, home = pwd.getpwuid(os.getuid()), tmp_path / "home"
    system, users = tmp_path / "system", tmp_path / "passwd"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "config").write_text("Include more\nHost pi\nUser ada\nPort 2222\n")
    (home / ".ssh" / "more").write_text("Host pi\nIdentityFile ~/.ssh/pi_key\n")
    system.write_text("Host *\nHashKnownHosts yes\nHostName 192.0.2.7\nPort 1\nUser eve\n")
    users.write_text(f"{me.pw_name}:x:{me.pw_uid}:{me.pw_gid}::{home}:/bin/sh\n")
    monkeypatch.setenv("HOME", str(home))
    mounts = f"mount --bind {users} /etc/passwd && mount --bind {system} /etc/ssh/ssh_config"
    words = [f'{mounts} && exec "$@"', "sh", sys.executable, "-c", _RESOLVE, read_by]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", *words], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"ada@192.0.2.7:2222 True {home}/.ssh/pi_key\n", done.stderr
