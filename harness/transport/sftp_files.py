"""A board's files over SFTP."""

from __future__ import annotations

import posixpath
import stat
from contextlib import suppress
from typing import Any

import paramiko
from modnas_agent.folder import kind_of
from paramiko.sftp import CMD_NAME
from paramiko.sftp_attr import SFTPAttributes

from harness.transport.base import TransportTimeoutError
from harness.transport.file_ways import MAX_READ_BYTES, Entry
from harness.transport.ssh_client import time_limit
from harness.transport.ssh_connection import LOST, SshConnection

# A server that speaks SFTP says so at once.
OPEN_S = 10.0
CHUNK_BYTES = 1 << 15


def open_sftp(connection: SshConnection) -> SftpFiles | None:
    """SFTP on a connection; None where the server refuses it, lacks its program, or says something else."""
    home = connection.run("pwd").output.strip()
    channel = connection.session()
    try:
        with time_limit(OPEN_S, "opening SFTP", channel.close):
            channel.invoke_subsystem("sftp")
            client = _Sftp(channel)
            # A server that a shell starts need not begin at home; one whose root is another folder does, and
            # knows no such path.
            with suppress(OSError):
                if posixpath.isabs(home) and client.normalize(".") != home:
                    client.chdir(home)
    except (*LOST, TransportTimeoutError):
        # Where the connection is gone, the next command on it says so.
        channel.close()
        return None
    return SftpFiles(client)


class _AnyName(paramiko.Message):
    """An answer with names of files, which need not be UTF-8: a person may have old ones."""

    def get_text(self) -> str:
        return self.get_string().decode("utf-8", "surrogateescape")


class _Sftp(paramiko.SFTPClient):
    """paramiko's client gives up a folder with such a name in it."""

    def _request(self, kind: int, *arguments: Any) -> tuple[int, paramiko.Message]:
        answer, message = super()._request(kind, *arguments)  # type: ignore[misc]
        return answer, _AnyName(message.get_remainder()) if answer == CMD_NAME else message


class SftpFiles:
    """See `harness.transport.file_ways.FileWay`."""

    def __init__(self, client: paramiko.SFTPClient) -> None:
        self._client = client

    def lstat(self, path: str) -> Entry:
        return _entry(self._client.lstat(path))

    def entries(self, folder: str) -> dict[str, Entry]:
        return {found.filename: _entry(found) for found in self._client.listdir_attr(folder)}

    def read(self, path: str) -> bytes:
        with self._client.open(path, "rb") as file:
            return bytes(file.read(MAX_READ_BYTES))

    def make_folder(self, path: str) -> None:
        made = "/" if path.startswith("/") else ""
        for part in path.strip("/").split("/"):
            made = posixpath.join(made, part)
            with suppress(FileNotFoundError):
                if stat.S_ISDIR(self._client.stat(made).st_mode or 0):
                    continue
            self._client.mkdir(made, 0o700)

    def real_path(self, folder: str) -> str:
        return self._client.normalize(folder)

    def remove(self, path: str) -> None:
        self._client.remove(path)

    def append(self, path: str, data: bytes) -> None:
        with self._client.open(path, "ab") as file:
            file.set_pipelined(True)
            for start in range(0, len(data), CHUNK_BYTES):
                file.write(data[start : start + CHUNK_BYTES])

    def replace(self, path: str, target: str) -> None:
        self._client.posix_rename(path, target)


def _entry(found: SFTPAttributes) -> Entry:
    return Entry(kind_of(found.st_mode or 0), found.st_size or 0, found.st_mtime or 0)
