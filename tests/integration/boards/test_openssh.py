"""What `ssh HOST` makes of configurations and files of host keys is what we make of them."""

from __future__ import annotations

import os
import pwd
import shutil
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
