"""A runtime's way to a board: brought from here, or downloaded there by the board's pip."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from modnas_agent.folder import backend_part
from pydantic import BaseModel, ConfigDict, Field

from harness.agent.frames import FrameError, Name, Names, Text, parse, plain
from harness.backends import Runtime
from harness.boards.board import Board, Interpreter, Manifest
from harness.boards.wheels import BoardPlatform, runtime_archive, runtime_file
from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import ForeignDataError, clean_object, last_line

Say = Callable[[str], None]

# Installing from an index downloads some 30 MB on a board with a slow disk.
PIP_S = 900.0
# Runs on the board, on any Python from 3.8 on, with the agent's own code; prints one JSON object at the end.
_FACTS = """
import ctypes, importlib.util, json, os, platform, sys
def loads(name):
    try:
        ctypes.CDLL(name)
        return True
    except OSError:
        return False
try:
    import numpy
    from modnas_agent.backends import load_backend
    runtime, reason = load_backend(sys.argv[1]).version(), None
except Exception as error:
    runtime, reason = None, type(error).__name__ + ": " + str(error)
print(json.dumps({
    "machine": platform.machine(), "libc": platform.libc_ver(), "runtime": runtime, "reason": reason,
    "pip": importlib.util.find_spec("pip") is not None,
    "venv": importlib.util.find_spec("ensurepip") is not None,
    "termux": "com.termux" in (os.environ.get("PREFIX") or sys.prefix),
    "missing": [name for name in sys.argv[2:] if not loads(name)],
}))
"""


class Facts(BaseModel):
    """What `_FACTS` prints."""

    model_config = ConfigDict(strict=True)

    machine: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,40}$")]
    libc: Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=2, max_length=2)]
    runtime: Name | None
    reason: Text | None
    pip: bool
    venv: bool
    termux: bool
    missing: Names


def facts(board: Board, python: str, runtime: Runtime, packages: str | None = None) -> dict[str, Any]:
    """What decides how the runtime can come to the board: platform, pip, venv, missing system libraries.

    The agent must be on the board.
    """
    path = ":".join(part for part in (board.archive_path, packages) if part)
    arguments = ("-c", _FACTS, runtime.backend, *runtime.libraries)
    done = board.connection.run(board.python_command(python, *arguments, packages=path), 120.0)
    try:
        answer = clean_object((done.output.strip().splitlines() or [""])[-1])
        found = plain(parse(Facts, answer))
        unknown = set(found["missing"]) - set(runtime.libraries)
        if unknown:
            raise FrameError(f"missing: it was not asked for {', '.join(sorted(unknown))}")
    except (ForeignDataError, FrameError) as error:
        said = last_line(done.errors) or str(error)
        raise DeviceUnavailableError(f"{python} on {board.connection.address} fails: {said}") from error
    return found


def runtime_prefix(backend: str) -> str:
    """How the names of a backend's folders begin, in the agent's folder."""
    return f"runtime-{backend_part(backend)}-"


@dataclass(frozen=True)
class RuntimeInstaller:
    """Installs one runtime on one board. `found`: what `facts` said; `say`: told what is being done.

    Raises:
        DeviceUnavailableError: what the board lacks, and what to do.
    """

    board: Board
    runtime: Runtime
    python: Interpreter
    found: dict[str, Any]
    say: Say

    def run(self, version: str, offline: bool) -> Manifest:
        """Install it into a folder with its version in its name."""
        self._check_board()
        board, runtime = self.board, self.runtime
        home = last_line(board.connection.run("pwd").output)
        packages = posixpath.join(home, board.directory, f"{runtime_prefix(runtime.backend)}{version}")
        made = self._push(packages) if offline else self._download(packages)
        interpreter, path, mode = made
        if not offline:  # what was unpacked is noted already
            board.in_folder("record", path=packages)
        after = facts(board, interpreter, runtime, path)
        if not after["runtime"]:
            raise DeviceUnavailableError(
                f"{runtime.name} was installed on {board.connection.address} but fails: {after['reason']}"
            )
        return Manifest(version, interpreter, path, mode, after["runtime"])

    def _check_board(self) -> None:
        """Refuse a board that lacks what the runtime needs, before anything is brought there."""
        address, runtime = self.board.connection.address, self.runtime
        if self.found["termux"]:
            hint = f"with: pkg install {runtime.termux}" if runtime.termux else "by hand"
            raise DeviceUnavailableError(
                f"{address} is a phone with Termux, for which there are no wheels; install the runtime there "
                f"{hint}"
            )
        if missing := self.found["missing"]:
            raise DeviceUnavailableError(
                f"{address} lacks {' and '.join(missing)}, which {runtime.name} needs; install there: "
                f"sudo apt-get install {' '.join(runtime.libraries[name] for name in missing)}"
            )
        free_mb = self.board.files.free_mb(self.board.directory)
        if free_mb is not None and free_mb < runtime.needed_mb:
            raise DeviceUnavailableError(
                f"{address} has {free_mb} MB free, the runtime needs {runtime.needed_mb}; free some space "
                "there or name another `directory` in the profile"
            )

    @property
    def _platform(self) -> BoardPlatform:
        return BoardPlatform(self.found["machine"], self.found["libc"], self.python.version)

    def _push(self, packages: str) -> tuple[str, str | None, str]:
        """Fetch wheels for the board's platform here, and unpack them there."""
        self.say(f"fetching {self.runtime.name} for {self._platform}")
        archive = runtime_archive(self._platform, self.runtime)
        self.say(f"uploading {archive.stat().st_size / 2**20:.0f} MB")
        target = f"{packages}.tar.gz"
        self.board.files.make_folder(self.board.directory)
        self.board.files.write(target, archive)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        self.board.in_folder("unpack", target, digest, path=packages)
        return self.python.path, packages, "offline"

    def _download(self, packages: str) -> tuple[str, str | None, str]:
        """Have the board's pip do it, in a virtual environment where one can be made."""
        pip = ("-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check")
        name, requirements = self.runtime.name, self.runtime.requirements
        if self.found["venv"] or self.found["pip"]:
            self.board.in_folder("clear", path=packages)
        if self.found["venv"]:
            self.say(f"making a virtual environment and installing {name} from the board's index")
            self._run(self.python.path, PIP_S, "-m", "venv", packages)
            interpreter = f"{packages}/bin/python"
            self._run(interpreter, PIP_S, *pip, *requirements)
            files = f"{packages}/files" if self.runtime.files else None
            self._push_files(files)
            return interpreter, files, "venv"
        if self.found["pip"]:
            self.say(f"installing {name} from the board's index")
            self._run(self.python.path, PIP_S, *pip, "--target", packages, *requirements)
            self._push_files(packages)
            return self.python.path, packages, "pip"
        raise DeviceUnavailableError(
            f"{self.board.connection.address} has neither venv nor pip; bring the runtime from here with: "
            f"{self._offline}"
        )

    def _push_files(self, folder: str | None) -> None:
        """Bring the single files, which no index has by themselves."""
        if folder is None:
            return
        self.board.files.make_folder(folder)
        for file in self.runtime.files:
            path = runtime_file(self._platform, file)
            self.board.files.write(f"{folder}/{path.name}", path)
            self.board.check_sha256(f"{folder}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest())

    def _run(self, python: str, timeout_s: float, *arguments: str) -> None:
        done = self.board.connection.run(self.board.python_command(python, *arguments), timeout_s)
        if done.status == 0:
            return
        said = last_line(done.errors) or last_line(done.output) or "no message"
        hint = f"; without a network there, use: {self._offline}" if "pip" in arguments else ""
        raise DeviceUnavailableError(f"installing on {self.board.connection.address} failed: {said}{hint}")

    @property
    def _offline(self) -> str:
        return f"{self.board.install_command} --offline"
