"""Commands in each of the common login shells, as a server starts them: `SHELL -c COMMAND`."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.transport.login_shell import for_login_shell

SHELLS = ("sh", "bash", "dash", "zsh", "fish", "csh", "bsd-csh", "tcsh", "ksh", "mksh", "busybox")
#: What shells read in different ways, and a word longer than a C shell takes.
TEXTS = (
    "plain",
    'it\'s "quoted" $HOME ${HOME} `id` $(id)',
    "wow! !! !$ back\\slash \\' \\\\ \\n \\0101 %s %b",
    "two\nlines\n\n",
    "* ? [a-z] {a,b} ~ ~root # ; & | < > ( ) ^ = :",
    "Straße 文件 \udcff",
    "x" * 3000 + "\\" * 700,
    "",
)


def run(shell: str, command: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} is installed")
    words = [program, "sh"] if shell == "busybox" else [program]
    return subprocess.run(
        [*words, "-c", for_login_shell(command)],
        capture_output=True,
        cwd="/",
        env={**os.environ, "HOME": str(home)},
        input=b"input",
        check=False,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_words_arrive_as_they_were_sent(shell: str, tmp_path: Path) -> None:
    words = " ".join(shlex.quote(text) for text in TEXTS)
    done = run(shell, f"printf '%s\\0' {words}", tmp_path)
    assert done.stderr == b"" and done.returncode == 0
    assert done.stdout.split(b"\0")[:-1] == [text.encode("utf-8", "surrogateescape") for text in TEXTS]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_begins_at_home_and_has_input_and_status(shell: str, tmp_path: Path) -> None:
    home = tmp_path / "home of ada"
    home.mkdir()
    done = run(shell, "pwd; cat; test ! -L . && (exit 3)", home)
    assert done.stdout == f"{home}\ninput".encode() and done.returncode == 3
    assert run(shell, "no-such-program-anywhere", home).returncode == 127


@pytest.mark.parametrize("shell", SHELLS)
def test_the_login_shell_gives_its_place_to_the_command(shell: str, tmp_path: Path) -> None:
    """So that what the board's server ends when a connection does is the command."""
    done = run(shell, "exec sh -c 'echo $PPID'", tmp_path)
    assert int(done.stdout) == os.getpid()
