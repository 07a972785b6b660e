"""Files that are not the agent's, where the agent works, and what is left of them."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from boards_loopback import LoopbackBoard

from harness.cli import main

#: Puts something foreign at a path.
Put = Callable[[Path], None]

PHOTO = b"\xff\xd8\xff a photo"


def snapshot(folder: Path) -> dict[str, str]:
    """What lies in a folder: hash of every file, target of every link; links are not followed."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            if path.is_symlink():
                told = f"-> {path.readlink()}"
            elif path.is_dir():
                told = "folder"
            else:
                told = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = told  # also of names that are not UTF-8
    return found


def file(name: str = "", content: bytes = PHOTO) -> Put:
    """A file, at the path itself or below it."""

    def put(path: Path) -> None:
        target = path / name if name else path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    return put


def folder(name: str = "") -> Put:
    """An empty folder."""
    return lambda path: (path / name if name else path).mkdir(parents=True)


def link(target: str, name: str = "") -> Put:
    """A symbolic link."""

    def put(path: Path) -> None:
        place = path / name if name else path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    return put


class Person:
    """Somebody with a board, who types commands."""

    def __init__(self, board: LoopbackBoard, capsys: pytest.CaptureFixture[str], home: Path) -> None:
        self.board, self._capsys, self._home = board, capsys, home
        self.agent = board.directory / "agent"
        #: What belongs to the person; links of the cases lead here.
        self.photos = board.directory / "photos"
        self.photos.mkdir()
        (self.photos / "cat.jpg").write_bytes(PHOTO)
        self.names("agent")

    def names(self, directory: str) -> None:
        """Have the profile name a folder, relative to the board's."""
        path = str(self.board.directory / directory)
        self.board.endpoint.write_profile(self._home, "pi", directory=path)

    def types(self, line: str, code: int = 0) -> str:
        """Run a command line for the device; what people read."""
        self._capsys.readouterr()
        words = shlex.split(line)
        ended = main([*words[:2], "--device", "pi", *words[2:]] if words[0] == "agent" else words)
        errors = self._capsys.readouterr().err
        assert ended == code, errors
        if code:
            (_,) = [line for line in errors.splitlines() if line.startswith("error: ")]
        return errors

    def measures(self, archs: str | int = 3, code: int = 0, size: str = "channels=4") -> str:
        """Profile some networks."""
        settings = f"--set {size} --set cells=1 --set input=1x8x8"
        return self.types(f"profile --device pi --archs {archs} {settings}", code)
