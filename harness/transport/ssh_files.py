"""A board's files, whichever way its SSH server has to them: SFTP, or the commands of its shell.

Paths that are not absolute begin at home, as commands do.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modnas_agent.folder import FILE, FOLDER

from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import clean_text
from harness.transport.file_ways import Entry, FileWay
from harness.transport.sftp_files import open_sftp
from harness.transport.shell_files import ShellFiles
from harness.transport.ssh_connection import COMMAND_S, SshConnection, transfer_s


class BoardFullError(DeviceUnavailableError):
    """The board's disk has no room for a file."""

    code = "board-full"


class BoardFiles:
    """Files over one connection. Use from one thread.

    Raises:
        DeviceUnavailableError: every method, when the board or the way to it is not there, or it refuses.
    """

    def __init__(self, connection: SshConnection) -> None:
        self.connection = connection
        self._found: FileWay | None = None

    @property
    def _way(self) -> FileWay:
        """SFTP where the server speaks it; found out when it is first needed."""
        if self._found is None:
            self._found = open_sftp(self.connection) or ShellFiles(self.connection)
        return self._found

    def read(self, path: str) -> bytes | None:
        """A small file's content, or None when it is not there."""
        way = self._way
        with self._doing(
            f"reading {path}", functools.partial(self._refused, f"{path} cannot be read", "make it readable")
        ):
            try:
                return way.read(path)
            except FileNotFoundError:
                return None

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it."""
        way = self._way
        with self._doing(f"making {path}", functools.partial(self._cannot_write, path, 0)):
            way.make_folder(path)

    def entries(self, folder: str) -> dict[str, Entry] | None:
        """What lies in a folder, by name; None where there is none. Links are not followed."""
        way = self._way
        refused = functools.partial(self._refused, f"{folder} cannot be listed", "make it readable")
        with self._doing(f"listing {folder}", refused):
            try:
                kind = way.lstat(folder).kind
                found = way.entries(folder) if kind == FOLDER else {}
            except FileNotFoundError:
                return None
        if kind != FOLDER:
            what = "a file" if kind == FILE else "a link or something else that is no folder"
            raise DeviceUnavailableError(
                f"{folder} on {self.connection.address} is {what}: nothing was written there; move it away, "
                "or name a folder of the agent's own as `directory` in the profile"
            )
        return found

    def real_path(self, folder: str) -> str:
        """Absolute path of a folder without links."""
        way = self._way
        refused = functools.partial(self._refused, f"{folder} cannot be entered", "make it readable")
        with self._doing(f"looking up {folder}", refused):
            return way.real_path(folder)

    def remove(self, path: str) -> None:
        """Delete a file; harmless when it is not there."""
        way = self._way
        refused = functools.partial(self._refused, f"{path} cannot be deleted", "make its folder writable")
        with self._doing(f"deleting {path}", refused), suppress(FileNotFoundError):
            way.remove(path)

    def write(self, path: str, content: bytes | Path) -> None:
        """Replace a file as a whole: it is there complete, or not at all.

        What a lost connection left of an earlier attempt is continued. Whether the content is right is for
        the board to find out, by its sha256.
        """
        data = content.read_bytes() if isinstance(content, Path) else content
        partial = f"{path}.{hashlib.sha256(data).hexdigest()[:8]}.part"
        way, size = self._way, len(data)
        refused = functools.partial(self._cannot_write, path, size)
        with self._doing(f"uploading {posixpath.basename(path)}", refused, transfer_s(size)):
            begun = self._begun(partial)
            try:
                way.append(partial, data[begun:])
                if way.lstat(partial).bytes != size:
                    raise OSError("it is not complete")
                way.replace(partial, path)
            except OSError:
                if self.connection.active:
                    with suppress(OSError):
                        way.remove(partial)
                raise

    def _begun(self, partial: str) -> int:
        """How many bytes of an upload are there already."""
        try:
            found = self._way.lstat(partial)
        except FileNotFoundError:
            return 0
        if found.kind != FILE:
            raise DeviceUnavailableError(
                f"{partial} on {self.connection.address} is no file of ours; move it away"
            )
        return found.bytes

    @contextmanager
    def _doing(
        self, what: str, refused: Callable[[OSError], DeviceUnavailableError], seconds: float = COMMAND_S
    ) -> Iterator[None]:
        """Limit the time, and tell what the board refuses from a connection that is gone."""
        with self.connection.limit(seconds, what):
            try:
                yield
            except (ConnectionError, TimeoutError):
                raise
            except OSError as error:
                if not self.connection.active:
                    raise
                raise refused(error) from error

    def _refused(self, what: str, advice: str, error: OSError) -> DeviceUnavailableError:
        return DeviceUnavailableError(
            f"{what} on {self.connection.address}: {_said(error)}; {advice} or choose another `directory`"
        )

    def _cannot_write(self, path: str, size: int, error: OSError) -> DeviceUnavailableError:
        """SFTP says `Failure` for nearly everything; the board's free space often says more."""
        address = self.connection.address
        text = f"{path} on {address} cannot be written: {_said(error)}"
        with suppress(DeviceUnavailableError):
            free_mb = self.free_mb(posixpath.dirname(path) or ".")
            if free_mb is not None and free_mb < max(1, size / 2**20):
                return BoardFullError(
                    f"the disk of {address} is full: {path} cannot be written; free some space there"
                )
            if free_mb is not None:
                text += f" ({free_mb} MB free); make its folder writable or choose another `directory`"
        return DeviceUnavailableError(text)

    def free_mb(self, folder: str) -> int | None:
        """Free space where a folder is, or the nearest one above it that exists."""
        while True:
            done = self.connection.run(f"df -Pk -- {shlex.quote(folder)}")
            if done.status == 0 or folder in ("", ".", "/"):
                break
            folder = posixpath.dirname(folder) or "."
        fields = done.output.strip().splitlines()[-1].split() if done.output.strip() else []
        numbers = [int(field) for field in fields if re.fullmatch("[0-9]{1,18}", field)]
        return numbers[2] // 1024 if len(numbers) >= 3 else None


def _said(error: OSError) -> str:
    return clean_text(str(error.strerror or error))
