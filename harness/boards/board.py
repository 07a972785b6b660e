"""A board over SSH: its Python, the agent's folder on it, and starting the agent there.

The agent's folder (`SshSettings.directory`) holds

.modnas-agent.json       says that the folder is the agent's
modnas_agent-<hash>.pyz  the agent, named by its content: a host that has another one brings its own
install-<backend>.json   what `agent install` did for a backend, see `Manifest`
runtime-<backend>-<hash>/  the backend's runtime, when it was installed by us
artifacts/, journal/, agent.lock   what the agent works with

`modnas_agent.folder` has the exact forms of these names: nothing else there is ever touched.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modnas_agent.folder import backend_part
from pydantic import TypeAdapter, ValidationError

from harness.agent.archive import archive_bytes
from harness.agent.frames import Name, Text, parse_hello, plain
from harness.backends import agent_modules, get_backend
from harness.boards.agent_folder import REMOVE_S, AgentFolder, Left, program
from harness.core.errors import DeviceUnavailableError, ModnasHwError
from harness.core.foreign import ForeignDataError, clean_object, last_line
from harness.devices.backends import DEFAULT
from harness.devices.profile import DeviceProfile
from harness.transport.base import Frame, host_name
from harness.transport.settings import SshSettings
from harness.transport.ssh import SshTransport
from harness.transport.ssh_address import resolve
from harness.transport.ssh_connection import SshConnection
from harness.transport.ssh_files import BoardFiles

AGENT_PREFIX = "modnas_agent-"
MANIFEST_PREFIX = "install-"
MINIMUM_PYTHON = (3, 8)
# The interpreters looked for, in order; the plain name first, because that is the one with packages.
_CANDIDATES = ("python3", *(f"python3.{minor}" for minor in range(14, 7, -1)), "python")
# Printed before what counts, so that what a shell says of its own is told apart.
_MARK = "modnas:"
_INTERPRETER = re.compile(rf"{_MARK}(\d{{1,4}})\.(\d{{1,4}})\.(\d{{1,4}}):(\S.*)", re.ASCII)
_ABOUT = f'import sys; print("{_MARK}%d.%d.%d:%s" % (*sys.version_info[:3], sys.executable))'
# An agent whose host vanished without a word ends after this long.
IDLE_S = 600
# Also set by the agent for its workers; here it covers everything else that runs on the board.
ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
# Exit status of a shell that does not find a command.
NO_SUCH_COMMAND = 127
# A service of the user's: it lives on when the session ends, and its slice may have limits.
_SYSTEMD = "systemd-run --user --pipe --quiet --collect --same-dir --slice=modnas-agent.slice --"


@dataclass(frozen=True)
class Manifest:
    """What `agent install` left: `version` is the hash of everything it was asked for.

    `python` runs the agent, `packages` on its path. `base`: the interpreter that it was installed with.
    `chosen`: versions of packages that a person chose. Earlier versions wrote neither of these two.
    """

    version: Name
    python: Text
    packages: Text | None
    mode: Name
    runtime_version: Name
    base: Text | None = None
    chosen: tuple[Name, ...] = ()


_MANIFEST = TypeAdapter(Manifest)


@dataclass(frozen=True)
class Interpreter:
    """A Python on the board."""

    path: str
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        """As in `3.11.2`."""
        return ".".join(map(str, self.version))


class Board:
    """An open connection to the board of a profile. Use as a context manager."""

    def __init__(self, profile: DeviceProfile, timeout_s: float = 15.0) -> None:
        """Connect. Raises DeviceUnavailableError, and UsageError for a wrong profile or configuration."""
        self.profile = profile
        self.settings = profile.ssh or SshSettings()
        self.directory = self.settings.directory
        self.connection = SshConnection(resolve(profile.name, self.settings), timeout_s)
        self.files = BoardFiles(self.connection)
        self.folder = AgentFolder(self.files, self.directory)
        self._python: Interpreter | None = None
        self._archive = archive_bytes(agent_modules(profile))
        self._digest = hashlib.sha256(self._archive).hexdigest()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def find_python(self) -> Interpreter:
        """The interpreter that the profile names, or the first that is new enough; looked for once.

        Raises:
            DeviceUnavailableError: there is none.
        """
        if self._python is None:
            self._python = self._search_python()
        return self._python

    def _search_python(self) -> Interpreter:
        names = (self.settings.python,) if self.settings.python else _CANDIDATES
        tries = "; ".join(f"{shlex.quote(name)} -c {shlex.quote(_ABOUT)} 2>/dev/null" for name in names)
        done = self.connection.run(f"sh -c {shlex.quote(tries + '; true')}")
        found = [
            Interpreter(match[4], (int(match[1]), int(match[2]), int(match[3])))
            for line in done.output.splitlines()
            if (match := _INTERPRETER.fullmatch(line))
        ]
        for one in found:
            if one.version >= MINIMUM_PYTHON:
                # A name given by the user may be a wrapper, which is to be called and not what it calls.
                return Interpreter(self.settings.python or one.path, one.version)
        address, wanted = self.connection.address, ".".join(map(str, MINIMUM_PYTHON))
        if found:
            newest = max(found, key=lambda one: one.version)
            raise DeviceUnavailableError(
                f"{newest.path} on {address} is Python {newest.text}, the agent needs {wanted} or newer; "
                "install one there and name it as `python` in the profile"
            )
        named = f"{self.settings.python} is no Python" if self.settings.python else "no Python was found"
        raise DeviceUnavailableError(
            f"{named} on {address}; install Python {wanted} or newer there, for example with: "
            "sudo apt-get install python3"
        )

    @property
    def _manifest_path(self) -> str:
        return f"{self.directory}/{MANIFEST_PREFIX}{backend_part(self.profile.backend)}.json"

    def manifest(self) -> Manifest | None:
        """What is installed for the profile's backend; one that cannot be understood is as good as none."""
        content = self.files.read(self._manifest_path)
        if content is None:
            return None
        try:
            return _MANIFEST.validate_python(clean_object(content.decode("utf-8", "replace")))
        except (ForeignDataError, ValidationError):
            return None

    def write_manifest(self, manifest: Manifest) -> None:
        """Record an installation."""
        self.files.write(self._manifest_path, json.dumps(asdict(manifest)).encode())

    @property
    def archive_path(self) -> str:
        """Where this host's agent belongs on the board."""
        return f"{self.directory}/{AGENT_PREFIX}{self._digest[:12]}.pyz"

    def has_archive(self) -> bool:
        """Whether this host's agent is on the board, undamaged, in a folder that is no link."""
        folder, archive = shlex.quote(self.directory), shlex.quote(self.archive_path)
        done = self.connection.run(f"test ! -L {folder} && sha256sum -- {archive}")
        if done.status == NO_SUCH_COMMAND:
            return self._digest in self._sha256(self.archive_path)
        return self._digest in done.output

    def bring_archive(self) -> str:
        """Put this host's agent on the board if it is not there; its path.

        Raises:
            DeviceUnavailableError: the folder is somebody else's, or cannot be written.
        """
        if not self.has_archive():
            self.folder.check()
            self.files.make_folder(self.directory)
            self.files.write(self.archive_path, self._archive)
            self.check_sha256(self.archive_path, self._digest)
            self.folder.mark()
        return self.archive_path

    def in_folder(self, verb: str, *arguments: str, path: str | None = None) -> Left:
        """Have `modnas_agent.folder` do something in the agent's folder, or in `path`, there.

        Raises:
            DeviceUnavailableError: it cannot be done.
        """
        # Isolated: no module in the home there is to be taken for Python's own.
        words = (self.find_python().path, "-I", "-", verb, path or self.directory, *arguments)
        done = self.connection.run(self.python_command(*words), REMOVE_S, data=program())
        for line in reversed(done.output.splitlines() if done.status == 0 else []):
            if line.startswith("{"):
                found = json.loads(line)
                return Left(tuple(map(str, found["left"])), int(found["count"]), bool(found["there"]))
        said = (done.errors.strip() or done.output.strip() or "no message").splitlines()[-1]
        raise DeviceUnavailableError(f"{self.connection.address}: {said}")

    def check_sha256(self, path: str, digest: str) -> None:
        """Have the board hash a file. Raises DeviceUnavailableError when it is not what was sent."""
        if digest not in self._sha256(path):
            self.files.remove(path)
            raise DeviceUnavailableError(
                f"{path} on {self.connection.address} is not what was sent; try again, and suspect the disk"
            )

    def _sha256(self, path: str) -> str:
        """What the board's Python prints for a file's hash."""
        code = "import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())"
        done = self.connection.run(self.python_command(self.find_python().path, "-c", code, path), 120.0)
        return done.output

    def python_command(self, python: str, *arguments: str, packages: str | None = None) -> str:
        """A command of the board's Python with the environment that everything of ours gets there."""
        environment = {**ENVIRONMENT, **({"PYTHONPATH": packages} if packages else {})}
        words = ["env", *(f"{name}={value}" for name, value in environment.items()), python, *arguments]
        return " ".join(shlex.quote(word) for word in words)

    def hello(self) -> Frame:
        """The agent's greeting with its inventory, checked. Nothing stays on the board."""
        code = (
            "import os,subprocess,sys,tempfile\n"
            "with tempfile.TemporaryDirectory() as folder:\n"
            "    path = os.path.join(folder, 'agent.pyz')\n"
            "    open(path, 'wb').write(sys.stdin.buffer.read())\n"
            "    sys.exit(subprocess.call([sys.executable, path, 'hello']))\n"
        )
        command = self.python_command(self.find_python().path, "-c", code)
        done = self.connection.run(command, 60.0, data=self._archive)
        for line in reversed(done.output.splitlines()):
            if line.startswith("{"):
                try:
                    return plain(parse_hello(clean_object(line)))
                except ForeignDataError:
                    break
        said = last_line(done.errors) or last_line(done.output) or "nothing"
        raise DeviceUnavailableError(f"the agent does not run on {self.connection.address}; it said: {said}")

    def start_agent(self) -> SshTransport:
        """Start the agent; the transport owns the connection from then on."""
        installed = self.manifest()
        if installed is not None and self.settings.python in (None, installed.base):
            python, packages = installed.python, installed.packages
        else:
            python, packages = self.find_python().path, None
        archive = self.bring_archive()
        serve = ("serve", "--root", self.directory, "--idle-s", str(IDLE_S), "--host", host_name())
        command = self.python_command(python, archive, *serve, packages=packages)
        under = f"{_SYSTEMD} " if self.settings.systemd else ""
        return SshTransport(self.files, f"exec {under}{command}", self.directory)


def start_agent(profile: DeviceProfile, timeout_s: float) -> SshTransport:
    """Connect to a profile's board and start its agent. Raises DeviceUnavailableError."""
    board = Board(profile, timeout_s)
    try:
        return board.start_agent()
    except BaseException:
        board.connection.close()
        raise


def install_command(profile: DeviceProfile, versions: Sequence[str] = (), offline: bool = False) -> str:
    """The command that installs the runtime of a profile's backend on its board."""
    backend = "" if profile.backend == DEFAULT else f" --backend {profile.backend}"
    chosen = "".join(f" --runtime {version}" for version in versions)
    how = " --offline" if offline else ""
    return f"modnas-hw agent install --device {profile.name}{backend}{chosen}{how}"


def install_hint(profile: DeviceProfile) -> str:
    """What to do on a board that lacks the runtime of its profile's backend."""
    try:
        get_backend(profile.backend).runtime()
    except ModnasHwError as error:  # it is not brought there, or not from this machine
        return str(error)
    return f"install it with: {install_command(profile)}"


def other_version(
    profile: DeviceProfile, machine: str | None, installed: Mapping[str, str], offline: bool = False
) -> str:
    """What to do on a board where a runtime that is installed crashes: take another version of it.

    Args:
        machine: as its inventory says.
        installed: versions that are there, by package, as far as they are known.
        offline: whether it was brought from here.
    """
    try:
        runtime = get_backend(profile.backend).runtime()
    except ModnasHwError as error:  # it is not brought there, or not from this machine
        return str(error)
    plain = runtime.plain.get(machine or "")
    if plain is None or plain in [f"{name}=={version}" for name, version in installed.items()]:
        plain = f"{runtime.packages[0]}==VERSION"
    return f"take another version, for example with: {install_command(profile, [plain], offline)}"


def describe(inventory: dict[str, Any]) -> str:
    """One line for a profile: what the board says it is."""
    cpu = inventory.get("cpu") or {}
    system = (inventory.get("os") or {}).get("distribution")
    memory = inventory.get("memory_mb")
    parts = [
        inventory.get("board"),
        inventory.get("machine"),
        f"{cpu.get('logical')} x {cpu.get('model') or 'CPU'}" if cpu.get("logical") else None,
        f"{memory} MB" if memory else None,
        system,
    ]
    return ", ".join(str(part) for part in parts if part)
