"""Bad input as people give it, a row each, and what holds for whatever a command answers to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from attack_identity import add_presets
from integration_home import QUICK_DEVICE

from harness.cli import main
from harness.cli.app import Commands
from harness.cli.interruption import INTERRUPTED
from harness.cli.lazy import load
from modnas.spaces import get_space

#: A size of networks that take no time.
SIZE = "--set channels=2 --set cells=1 --set input=1x8x8"
LONG = "n" * 300
#: What no person should be shown: Python's own texts, its types, and an error of the system without its file.
PYTHON = re.compile(
    r"Traceback|\[Errno|<class |NoneType|__\w+__|\b0x[0-9a-f]{6,}|object at|internal|--debug|PosixPath"
    r"|\b[A-Z][a-z]\w*(Error|Exception)\b|unexpected keyword|positional argument|Input should be a valid dict"
)
#: A command as messages advise it, to the end of the clause that it is in.
ADVISED = re.compile(r"modnas-hw (?:(?!;|\)|, | for each | where ).)+")
#: Caches and marks that say nothing of what anybody measured or made.
_UNCOUNTED = ("hashes.sqlite", "lock.json", "agent.log", "-wal", "-shm", "store.sqlite")


@dataclass(frozen=True)
class Row:
    """A command line, and how it has to end.

    Attributes:
        line: as in a shell; `{work}` and `{home}` are the folders of this person.
        says: has to be in the message.
        environment: variables that it is given with.
    """

    line: str
    exit_code: int
    code: str
    says: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        told = " ".join([*(f"{k}={v}" for k, v in self.environment.items()), self.line])
        return re.sub(r"n{50,}", "nnn", told)


@dataclass
class Ended:
    """How a command ended: its document, and the line that said why it failed."""

    exit_code: int
    document: Any
    errors: str

    @property
    def message(self) -> str:
        """The one line that begins with `error:`, without that; empty where nothing failed."""
        lines = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        return lines[-1].removeprefix("error: ") if lines else ""

    @property
    def outcome(self) -> tuple[int, str]:
        """What has to differ after an advice was followed."""
        return self.exit_code, self.message


class Person:
    """A home with measurements, tables and runs, a folder to work in, and commands run in this process."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.home, self.work = folder, folder / "home", folder / "work"
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.home.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        add_presets()
        for name in ("MODNAS_STORE", "SSH_AUTH_SOCK", "MODNAS_DEBUG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("MODNAS_HOME", str(self.home))
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.chdir(self.work)

    def run(self, line: str, environment: Mapping[str, str] | None = None) -> Ended:
        """Run a command line with `--json`; what it shows is checked for being fit to be shown."""
        words = [word.format(home=self.home, work=self.work) for word in shlex.split(line)]
        self._capsys.readouterr()
        with self._monkeypatch.context() as patch:
            for name, value in (environment or {}).items():
                patch.setenv(name, value.format(home=self.home, work=self.work))
            code = main([*words, "--json"])
        output, errors = self._capsys.readouterr()
        ended = Ended(code, json.loads(output) if output else None, errors)
        check_fit(ended)
        return ended

    def refused(self, row: Row) -> Ended:
        """Run a row, which has to end as it says, with nothing lost and nothing stored."""
        before = self.state()
        ended = self.run(row.line, row.environment)
        assert ended.exit_code == row.exit_code, ended.errors
        assert row.says in ended.message, ended.errors
        error = ended.document["error"]
        assert (error["code"], error["message"]) == (row.code, ended.message)
        assert ended.document.keys() == {"error"}
        assert ended.errors.splitlines()[-1] == f"error: {ended.message}"
        assert self.state() == before, "something was lost, or stored"
        for command in advised(ended.message):
            check_complete(command)
        return ended

    def start_writer(self, name: str, content: bytes) -> subprocess.Popen[bytes]:
        """A process that writes to a pipe in the folder of work, when somebody reads it."""
        code = f"open({str(self.work / name)!r}, 'wb').write({content!r})"
        return subprocess.Popen([sys.executable, "-c", code])

    def replace(self, file: Path, kind: str) -> None:
        """Put something else in a file's place."""
        file.unlink()
        if kind == "a pipe":
            os.mkfifo(file)
        elif kind == "a folder":
            file.mkdir()
        else:
            file.write_bytes(bytes(range(256)) * 4)

    def state(self) -> dict[str, str]:
        """Content of every file, and how many rows there are of each kind."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.endswith(_UNCOUNTED):
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        store = self.home / "store.sqlite"
        if store.is_file():
            with closing(sqlite3.connect(store)) as connection:
                names = [
                    name
                    for (name,) in connection.execute("select name from sqlite_master where type='table'")
                ]
                for name in names:
                    (count,) = connection.execute(f'select count(*) from "{name}"').fetchone()
                    found[f"rows of {name}"] = str(count)
        return found


def check_fit(ended: Ended) -> None:
    """Whatever a command said is printable, speaks no Python, and has one line that is an error at most."""
    assert all(character.isprintable() or character == "\n" for character in ended.errors), ended.errors
    assert not PYTHON.search(ended.errors), ended.errors
    assert sum(line.startswith("error: ") for line in ended.errors.splitlines()) <= 1, ended.errors
    assert ended.message or ended.exit_code in (0, 1, INTERRUPTED), ended.errors


def advised(message: str) -> list[str]:
    """The commands of ours that a message names."""
    return [found.strip() for found in ADVISED.findall(message)]


def check_complete(command: str) -> None:
    """A command has every word that it needs, and none that there is not."""
    words = shlex.split(command)[1:]
    if words[-1] == "--help":
        assert main(words) == 0, command
        return
    group: Any = load(Commands.entries[words.pop(0)])
    context = group.make_context("modnas-hw", words) if not hasattr(group, "list_commands") else None
    if context is None:
        name, inner, rest = group.resolve_command(group.make_context("group", list(words)), list(words))
        inner.make_context(name, rest)


def furnish(person: Person) -> None:
    """A home as after some work: a device here, two tables, a measurement, a run and one that has begun."""
    (person.home / "devices").mkdir()
    (person.home / "devices" / "quick.yaml").write_text(QUICK_DEVICE)
    space = get_space("nasbench201", channels=2, cells=1, classes=10, input_shape=(1, 8, 8))
    some = dict.fromkeys([*space.references, *space.sample(40, torch.Generator().manual_seed(0))])
    for device in ("tab", "spare"):
        file = person.work / f"{device}.csv"
        file.write_text("arch,value\n" + "".join(f"{a.string},{1 + n % 7}\n" for n, a in enumerate(some)))
        assert person.run(f"dataset import {file} --device {device} {SIZE}").exit_code == 0
    assert person.run("search --devices tab --preset atom --run done --no-verify").exit_code == 0
    assert person.run(f"profile --device quick --archs 1 {SIZE}").exit_code == 0
    begun = person.home / "runs" / "begun"
    begun.mkdir()
    shutil.copy(person.home / "runs" / "done" / "config.json", begun)


def make_specials(folder: Path) -> None:
    """What may stand where a file is expected."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(folder)  # a socket's path has at most 107 characters
            listening.bind("socket")
        finally:
            os.fchdir(here)
            os.close(here)
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "nothing").symlink_to("/dev/null")
