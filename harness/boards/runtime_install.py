"""A runtime's way to a board: brought from here, or downloaded there by the board's pip."""

from __future__ import annotations

import hashlib
import posixpath
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from modnas_agent.folder import backend_part
from modnas_agent.foreign_words import meaning_of

from harness.backends import Runtime
from harness.boards.board import Board, Interpreter, Manifest, install_command, other_version
from harness.boards.runtime_facts import Facts, facts
from harness.boards.wheels import BoardPlatform, runtime_archive, runtime_file
from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import last_line

Say = Callable[[str], None]

# Installing from an index downloads some 30 MB on a board with a slow disk.
PIP_S = 900.0
# What the index has compiled packages for.
WHEEL_BITS = 64


def runtime_prefix(backend: str) -> str:
    """How the names of a backend's folders begin, in the agent's folder."""
    return f"runtime-{backend_part(backend)}-"


@dataclass(frozen=True)
class RuntimeInstaller:
    """Installs one runtime on one board.

    `chosen`: the versions in it that a person chose. `offline`: bring it from here. `found`: what the board
    said. `say`: told what is being done.

    Raises:
        DeviceUnavailableError: what the board lacks, and what to do.
    """

    board: Board
    runtime: Runtime
    chosen: Sequence[str]
    offline: bool
    python: Interpreter
    found: Facts
    say: Say

    def run(self, version: str) -> Manifest:
        """Install it into a folder with `version`, of the installation, in its name."""
        self._check_board()
        board, runtime = self.board, self.runtime
        home = last_line(board.connection.run("pwd").output)
        packages = posixpath.join(home, board.directory, f"{runtime_prefix(runtime.backend)}{version}")
        made = self._push(packages) if self.offline else self._download(packages)
        interpreter, path, mode = made
        if not self.offline:  # what was unpacked is noted already
            board.in_folder("record", path=packages)
        after = facts(board, interpreter, runtime, path)
        if not after.runtime:
            self._fails(after)
        base, chosen = self.python.path, tuple(self.chosen)
        return Manifest(version, interpreter, path, mode, after.runtime, base, chosen)

    def _fails(self, after: Facts) -> NoReturn:
        """Say why what was installed cannot be used; the same once more would be of no use."""
        installed = " beside ".join(f"{name} {version}" for name, version in after.versions.items())
        advice = other_version(self.board.profile, after.machine, after.versions, self.offline)
        raise DeviceUnavailableError(
            f"{self.runtime.name} ({installed}) was installed on {self.board.connection.address} but fails: "
            f"{after.reason}; {advice}"
        )

    def _check_board(self) -> None:
        """Refuse a board that lacks what the runtime needs, before anything is brought there."""
        address, runtime, found = self.board.connection.address, self.runtime, self.found
        if found.termux:
            hint = f"with: pkg install {runtime.termux}" if runtime.termux else "by hand"
            raise DeviceUnavailableError(
                f"{address} is a phone with Termux, for which there are no wheels; install the runtime there "
                f"{hint}"
            )
        if self.offline and found.bits < WHEEL_BITS:
            raise DeviceUnavailableError(self._too_narrow)
        if missing := found.missing:
            raise DeviceUnavailableError(
                f"{address} lacks {' and '.join(missing)}, which {runtime.name} needs; install there: "
                f"sudo apt-get install {' '.join(runtime.libraries[name] for name in missing)}"
            )
        if found.noexec is not None:
            raise DeviceUnavailableError(
                f"{found.noexec} on {address} is mounted noexec: no code in it can be run, and the agent's "
                "folder is there; name one elsewhere as `directory` in the profile, or change that "
                f"with: sudo mount -o remount,exec {shlex.quote(found.noexec)}"
            )
        if unfit := runtime.impossible(found.machine, found.lacking):
            version, need = unfit
            lacking = ", ".join(flag for flag in need.flags if flag in found.lacking)
            raise DeviceUnavailableError(
                f"the CPU of {address} has no {lacking}, which {version} needs; take the "
                f"newest version that fits it with: {self._command([need.package])}"
            )
        self._check_space()

    @property
    def _too_narrow(self) -> str:
        kernel = f" under a kernel for {self.found.machine}"
        return (
            f"{self.python.path} on {self.board.connection.address} is a program of {self.found.bits} bits"
            f"{kernel}, for which {self.runtime.name} has no wheels; install a system of 64 bits there, or "
            "name a Python of 64 bits as `python` in the profile"
        )

    def _check_space(self) -> None:
        address, runtime = self.board.connection.address, self.runtime
        free_mb = self.board.files.free_mb(self.board.directory)
        if free_mb is not None and free_mb < runtime.needed_mb:
            raise DeviceUnavailableError(
                f"{address} has {free_mb} MB free, the runtime needs {runtime.needed_mb}; free some space "
                "there or name another `directory` in the profile"
            )

    @property
    def _platform(self) -> BoardPlatform:
        return BoardPlatform(self.found.machine, self.found.libc, self.python.version)

    @property
    def _fitting(self) -> Runtime:
        """Without the versions that the board's CPU cannot run."""
        return self.runtime.on_cpu(self.found.machine, self.found.lacking)

    def _push(self, packages: str) -> tuple[str, str | None, str]:
        """Fetch wheels for the board's platform here, and unpack them there."""
        self.say(f"fetching {self.runtime.name} for {self._platform}")
        archive = runtime_archive(self._platform, self._fitting)
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
        name, requirements = self.runtime.name, self._fitting.requirements
        if self.found.venv or self.found.pip:
            self.board.in_folder("clear", path=packages)
        if self.found.venv:
            self.say(f"making a virtual environment and installing {name} from the board's index")
            self._run(self.python.path, PIP_S, "-m", "venv", packages)
            interpreter = f"{packages}/bin/python"
            self._run(interpreter, PIP_S, *pip, *requirements)
            files = f"{packages}/files" if self.runtime.files else None
            self._push_files(files)
            return interpreter, files, "venv"
        if self.found.pip:
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
        said = meaning_of(done.errors) or last_line(done.errors) or last_line(done.output) or "no message"
        hint = f"; without a network there, use: {self._offline}" if "pip" in arguments else ""
        if self.found.bits < WHEEL_BITS:
            hint = f"; {self._too_narrow}"
        raise DeviceUnavailableError(f"installing on {self.board.connection.address} failed: {said}{hint}")

    def _command(self, versions: Sequence[str]) -> str:
        return install_command(self.board.profile, versions, self.offline)

    @property
    def _offline(self) -> str:
        return install_command(self.board.profile, self.chosen, offline=True)
