"""Boards whose users have other login shells than Bourne's: commands, and files that go over them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from boards_loopback import LoopbackBoard

from harness.boards.board import Board
from harness.devices.profile import DeviceProfile
from harness.export import Artifact, ArtifactCache
from harness.measure.session import DeviceSession
from modnas.spaces import get_space

pytestmark = pytest.mark.slow

SHELLS = ("bash", "bsd-csh", "dash", "fish", "ksh", "mksh", "tcsh", "zsh")
#: A server starts this program's words for SFTP, and everything else in the user's shell.
LOGIN = """#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in {sftp}) exec /usr/lib/openssh/sftp-server;; esac
exec {shell} -c "$SSH_ORIGINAL_COMMAND"
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    space = get_space("nasbench201", channels=4, cells=1, input_shape=(1, 8, 8))
    return ArtifactCache(tmp_path_factory.mktemp("artifacts")).get(space, space.references[0], 1)


@pytest.mark.parametrize(
    ("shell", "sftp"), [*((shell, "never") for shell in SHELLS), ("fish", "*sftp*"), ("tcsh", "*sftp*")]
)
def test_a_board_with_this_login_shell_measures(
    shell: str, sftp: str, artifact: Artifact, tmp_path: Path, can_make_loopback: None
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} is installed")
    login = tmp_path / "login"
    login.write_text(LOGIN.format(sftp=sftp, shell=shell))
    login.chmod(0o755)
    host = LoopbackBoard(tmp_path / "board", key_options=f'command="{login}"')
    try:
        profile = DeviceProfile.model_validate(host.endpoint.profile("board"))
        with Board(profile) as board:
            assert board.hello()["event"] == "hello"
        with DeviceSession(profile) as session:
            assert session.measure(artifact)["status"] == "ok"
    finally:
        host.stop()
