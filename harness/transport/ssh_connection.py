"""A connection to a board: commands and files, each with a hard limit on how long it may take."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
from modnas_agent.folder import FILE, FOLDER, kind_of
from paramiko.sftp import CMD_NAME

from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import clean_lines, clean_text
from harness.transport.base import TransportClosedError
from harness.transport.login_shell import for_login_shell
from harness.transport.ssh_address import Address
from harness.transport.ssh_client import close, connect, time_limit

COMMAND_S = 20.0
# A goodbye that a dead link keeps waiting; it goes on in the background.
CLOSE_S = 2.0
# The slowest link worth using; what a transfer may take follows from its size.
SLOWEST_BYTES_PER_S = 50_000
# More than this from a command is a board gone mad, not an answer.
MAX_OUTPUT_BYTES = 4 << 20
CHUNK_BYTES = 1 << 15
# What a command says begins after this; before it a login shell may have said something.
_BEGINNING = "modnas-output"
# paramiko's, and what it raises for an answer that it cannot take apart: a server that speaks no SFTP.
_LOST = (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError, struct.error, UnicodeDecodeError)


@dataclass(frozen=True)
class Completed:
    """A command that ended, and what it wrote: printable lines (see `harness.core.foreign`)."""

    status: int
    output: str
    errors: str


@dataclass(frozen=True)
class Entry:
    """What lies in a folder under one name; `kind` as `modnas_agent.folder.kind_of` tells it."""

    kind: str
    bytes: int
    changed_at: int


class _AnyName(paramiko.Message):
    """An answer with names of files, which need not be UTF-8: a person may have old ones."""

    def get_text(self) -> str:
        return self.get_string().decode("utf-8", "surrogateescape")


class _Sftp(paramiko.SFTPClient):
    """paramiko's client gives up a folder with such a name in it."""

    def _request(self, kind: int, *arguments: Any) -> tuple[int, paramiko.Message]:
        answer, message = super()._request(kind, *arguments)  # type: ignore[misc]
        return answer, _AnyName(message.get_remainder()) if answer == CMD_NAME else message


class BoardFullError(DeviceUnavailableError):
    """The board's disk has no room for a file."""

    code = "board-full"


class SshConnection:
    """An authenticated connection. Use from one thread.

    Raises:
        DeviceUnavailableError: every method, when the board or the way to it is not there.
    """

    def __init__(self, address: Address, timeout_s: float = 15.0) -> None:
        self.address = address
        self._servers = connect(address, timeout_s)
        self._sftp: paramiko.SFTPClient | None = None

    def close(self) -> None:
        """Close it; never waits long, never raises."""
        # Closing says goodbye to the other side, which may be frozen.
        closing = threading.Thread(target=close, args=(self._servers,), daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    @property
    def active(self) -> bool:
        """Whether the connection is still open as far as this side knows."""
        return self._servers[-1].is_active()

    @contextmanager
    def limit(self, seconds: float, what: str) -> Iterator[None]:
        """Close the connection when the block takes longer; errors of paramiko become ours."""
        try:
            with time_limit(seconds, f"{what} on {self.address}", self.close):
                yield
        except _LOST as error:
            if isinstance(error, FileNotFoundError) and self.active:
                raise
            raise TransportClosedError(
                f"the connection to {self.address} was lost while {what}: "
                f"{clean_text(str(error)) or 'the other side closed it'}"
            ) from error

    def session(self, timeout_s: float = COMMAND_S) -> paramiko.Channel:
        """A new channel."""
        with self.limit(timeout_s, "opening a channel"):
            channel = self._servers[-1].open_session(timeout=timeout_s)
            channel.settimeout(timeout_s)
            return channel

    def run(self, command: str, timeout_s: float = COMMAND_S, data: bytes = b"") -> Completed:
        """Run a command of `sh` to its end, at home, with `data` on its standard input.

        Raises:
            TransportClosedError: it ended without an exit status: the link or the shell was killed.
            DeviceUnavailableError: it wrote more than any answer is long.
        """
        with self.limit(timeout_s, "running a command"), self.session(timeout_s) as channel:
            channel.exec_command(for_login_shell(f"echo {_BEGINNING}; {command}"))
            if data:
                channel.sendall(data)
            channel.shutdown_write()
            output = channel.makefile("rb").read(MAX_OUTPUT_BYTES)
            if len(output) == MAX_OUTPUT_BYTES:
                raise DeviceUnavailableError(f"a command on {self.address} does not stop writing")
            errors = channel.makefile_stderr("rb").read(MAX_OUTPUT_BYTES)
            status = channel.recv_exit_status()
        if status < 0:
            raise TransportClosedError(f"the connection to {self.address} was lost while running a command")
        before, beginning, said = output.partition(f"{_BEGINNING}\n".encode())
        texts = (said if beginning else before, errors)
        return Completed(status, *(clean_lines(text.decode("utf-8", "replace")) for text in texts))

    @property
    def sftp(self) -> paramiko.SFTPClient:
        """The board's files, relative ones at home as in `run`; opened when first needed."""
        if self._sftp is None:
            home = self.run("pwd").output.strip()
            channel = self.session()
            try:
                with self.limit(COMMAND_S, "opening SFTP"):
                    channel.invoke_subsystem("sftp")
                    self._sftp = _Sftp(channel)
            except TransportClosedError as error:
                said = clean_text(str(error.__cause__))
                raise DeviceUnavailableError(
                    f"{self.address} does not speak SFTP ({said}); its sshd needs the line "
                    "'Subsystem sftp internal-sftp', or its login shell prints something where no terminal is"
                ) from error
            self._go_home(self._sftp, home)
        return self._sftp

    def _go_home(self, sftp: paramiko.SFTPClient, home: str) -> None:
        """Have paths begin at home, where a server that a shell starts need not be."""
        # One whose root is another folder knows no such path, and begins at home by itself.
        with self.limit(COMMAND_S, "opening SFTP"), suppress(OSError):
            if posixpath.isabs(home) and sftp.normalize(".") != home:
                sftp.chdir(home)

    def read(self, path: str) -> bytes | None:
        """A small file's content, or None when it is not there."""
        sftp = self.sftp
        with self.limit(COMMAND_S, f"reading {path}"):
            try:
                with sftp.open(path, "rb") as file:
                    return bytes(file.read(MAX_OUTPUT_BYTES))
            except FileNotFoundError:
                return None

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it."""
        sftp = self.sftp
        with self.limit(COMMAND_S, f"making {path}"), self._writing(path):
            made = "/" if path.startswith("/") else ""
            for part in path.strip("/").split("/"):
                made = posixpath.join(made, part)
                with suppress(FileNotFoundError):
                    if stat.S_ISDIR(sftp.stat(made).st_mode or 0):
                        continue
                sftp.mkdir(made, 0o700)

    def entries(self, folder: str) -> dict[str, Entry] | None:
        """What lies in a folder, by name; None where there is none. Links are not followed."""
        sftp = self.sftp
        with self.limit(COMMAND_S, f"listing {folder}"):
            try:
                kind = kind_of(sftp.lstat(folder).st_mode or 0)
                found = sftp.listdir_attr(folder) if kind == FOLDER else []
            except FileNotFoundError:
                return None
            except PermissionError as error:
                raise DeviceUnavailableError(
                    f"{folder} on {self.address} cannot be listed: {error.strerror}; make it readable or "
                    "choose another `directory`"
                ) from error
        if kind != FOLDER:
            what = "a file" if kind == FILE else "a link or something else that is no folder"
            raise DeviceUnavailableError(
                f"{folder} on {self.address} is {what}: nothing was written there; move it away, or name a "
                "folder of the agent's own as `directory` in the profile"
            )
        return {
            entry.filename: Entry(kind_of(entry.st_mode or 0), entry.st_size or 0, entry.st_mtime or 0)
            for entry in found
        }

    def real_path(self, path: str) -> str:
        """Absolute path without links; of one that does not exist, as the server makes it."""
        sftp = self.sftp
        with self.limit(COMMAND_S, f"looking up {path}"):
            return sftp.normalize(path)

    def remove(self, path: str) -> None:
        """Delete a file; harmless when it is not there."""
        sftp = self.sftp
        with self.limit(COMMAND_S, f"deleting {path}"), suppress(FileNotFoundError):
            sftp.remove(path)

    def write(self, path: str, content: bytes | Path) -> None:
        """Replace a file as a whole: it is there complete, or not at all.

        What a lost connection left of an earlier attempt is continued. Whether the content is right is for
        the board to find out, by its sha256.
        """
        data = content.read_bytes() if isinstance(content, Path) else content
        partial = f"{path}.{hashlib.sha256(data).hexdigest()[:8]}.part"
        sftp = self.sftp
        seconds = COMMAND_S + len(data) / SLOWEST_BYTES_PER_S
        with self.limit(seconds, f"uploading {posixpath.basename(path)}"), self._writing(path, len(data)):
            begun = self._begun(partial)
            try:
                with sftp.open(partial, "ab") as file:
                    file.set_pipelined(True)
                    for start in range(begun, len(data), CHUNK_BYTES):
                        file.write(data[start : start + CHUNK_BYTES])
                if sftp.stat(partial).st_size != len(data):
                    raise OSError("it is not complete")
                sftp.posix_rename(partial, path)
            except OSError:
                if self.active:
                    with suppress(OSError):
                        sftp.remove(partial)
                raise

    def _begun(self, partial: str) -> int:
        """How many bytes of an upload are there already."""
        try:
            found = self.sftp.lstat(partial)
        except FileNotFoundError:
            return 0
        if kind_of(found.st_mode or 0) != FILE:
            raise DeviceUnavailableError(f"{partial} on {self.address} is no file of ours; move it away")
        return found.st_size or 0

    @contextmanager
    def _writing(self, path: str, size: int = 0) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, EOFError, TimeoutError):
            raise
        except OSError as error:
            if not self.active:
                raise
            raise self._cannot_write(path, size, error) from error

    def _cannot_write(self, path: str, size: int, error: OSError) -> DeviceUnavailableError:
        """SFTP says `Failure` for nearly everything; the board's free space often says more."""
        text = f"{path} on {self.address} cannot be written: {clean_text(str(error.strerror or error))}"
        with suppress(DeviceUnavailableError):
            free_mb = self.free_mb(posixpath.dirname(path) or ".")
            if free_mb is not None and free_mb < max(1, size / 2**20):
                return BoardFullError(
                    f"the disk of {self.address} is full: {path} cannot be written; free some space there"
                )
            if free_mb is not None:
                text += f" ({free_mb} MB free); make its folder writable or choose another `directory`"
        return DeviceUnavailableError(text)

    def free_mb(self, folder: str) -> int | None:
        """Free space where a folder is, or the nearest one above it that exists."""
        while True:
            done = self.run(f"df -Pk -- {shlex.quote(folder)}")
            if done.status == 0 or folder in ("", ".", "/"):
                break
            folder = posixpath.dirname(folder) or "."
        fields = done.output.strip().splitlines()[-1].split() if done.output.strip() else []
        numbers = [int(field) for field in fields if re.fullmatch("[0-9]{1,18}", field)]
        return numbers[2] // 1024 if len(numbers) >= 3 else None
