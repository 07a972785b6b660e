"""Boards on which a runtime cannot run: told before anything large is fetched or sent."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from boards_image import share_wheels
from boards_loopback import LoopbackBoard
from boards_namespace import NamespaceBoard

Run = Callable[..., str]


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path) -> None:
    """Runtimes are fetched once for all tests."""
    share_wheels(tmp_path / "home")


def files_on(board: NamespaceBoard) -> str:
    return board.shell("find /home/board /tmp -mindepth 1 | sort")


def test_a_disk_from_which_no_code_may_be_run(
    make_board: Callable[..., NamespaceBoard], run: Run, tmp_path: Path
) -> None:
    board = make_board(with_runtime=False)
    board.mount_disk("/home/board/disk", kilobytes=600_000, options="mode=777,noexec")
    board.endpoint().write_profile(tmp_path / "home", "pi", directory="disk/agent")
    before = files_on(board)
    for how in ("", " --offline"):
        read = run(f"agent install --device pi{how}", code=3)
        assert "fetching" not in read and "making" not in read
        last = read.strip().splitlines()[-1]
        assert re.search(r"/home/board/disk on .* is mounted noexec: .* `directory` in the profile", last), (
            last
        )
        assert "sudo mount -o remount,exec /home/board/disk" in last
        assert files_on(board) == before, "nothing is left behind"


@pytest.fixture
def narrow(loopback: LoopbackBoard, tmp_path: Path) -> LoopbackBoard:
    """A board whose Python says that it is of 32 bits, under this machine's kernel; it has no runtime."""
    python = getattr(sys, "_base_executable", sys.executable)
    wrapper = loopback.folder / "python32"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *runtime_facts*) {python} "$@" | sed "s/\\"bits\\": 64/\\"bits\\": 32/";;\n'
        f'*) exec {python} "$@";; esac\n'
    )
    wrapper.chmod(0o755)
    loopback.endpoint.write_profile(tmp_path / "home", "pi", python=str(wrapper))
    return loopback


def test_a_python_of_32_bits_under_a_kernel_of_64(narrow: LoopbackBoard, run: Run) -> None:
    read = run("agent install --device pi --offline", code=3)
    assert "fetching" not in read
    said = rf"python32 on .* is a program of 32 bits under a kernel for {platform.machine()}, for which ONNX"
    assert re.search(said, read.strip().splitlines()[-1]), read
    assert not list(narrow.directory.iterdir()), "nothing is left behind"
