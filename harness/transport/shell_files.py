"""A board's files by commands of its shell, for servers without SFTP (Dropbear, mostly).

All that is needed there is what POSIX has, and `xargs -0`; BusyBox does, whose `ls` shows a question mark for
every letter of a foreign name that it cannot print.
"""

from __future__ import annotations

import errno
import os
import re
import shlex

from modnas_agent.folder import FILE, FOLDER, OTHER

from harness.core.foreign import last_line
from harness.transport.file_ways import MAX_READ_BYTES, Entry
from harness.transport.ssh_connection import SshConnection, transfer_s

# One line each, and no exclamation mark, for login shells that read more into a quoted word than POSIX's do.
# Their words are English; `ls` writes as POSIX has it, whatever somebody set.
_PLAIN = "LC_ALL=C; export LC_ALL; unset TIME_STYLE QUOTING_STYLE BLOCK_SIZE LS_BLOCK_SIZE BLOCKSIZE"
# Exit status of the scripts where there is nothing of that name.
_NOT_THERE = 44
_IF_THERE = f'[ -e "$1" ] || [ -L "$1" ] || exit {_NOT_THERE}'
# What `ls` writes before a name, up to the size: of the kinds that count here, of a device something else.
_BEGINNING = re.compile(rb"([a-z-])[^ ]* +[0-9]+ +[0-9]+ +[0-9]+ +([0-9]+)")
_KINDS = {b"-": FILE, b"d": FOLDER}
# Newest first, as many at a time as fit into a command of this length: beyond some 13,000 networks, which of
# two is older is only nearly right. Links come after the rest, since `ls` would follow one with its target.
_LIST = (
    'cd "$1" || exit 1; [ -r . ] || { echo "ls: Permission denied" >&2; exit 1; }; '
    'for f in ./* ./.*; do [ -L "$f" ] || printf "%s\\000" "$f"; done'
    " | xargs -0 -s 1000000 ls -lndt 2>/dev/null; "
    'printf "\\000"; for f in ./* ./.*; do [ -L "$f" ] && printf "%s\\000" "$f"; done; true'
)
MAX_LIST_BYTES = 64 << 20


class ShellFiles:
    """See `harness.transport.file_ways.FileWay`."""

    def __init__(self, connection: SshConnection) -> None:
        self._connection = connection

    def lstat(self, path: str) -> Entry:
        return _entry(self._do(f'{_IF_THERE}; ls -lnd "$1"', path))

    def entries(self, folder: str) -> dict[str, Entry]:
        listed, _, links = self._do(_LIST, folder, limit_bytes=MAX_LIST_BYTES).partition(b"\0")
        # No name has a slash: each that is there is the one that we put before it.
        before, *pieces = listed.split(b"/")
        found: dict[str, Entry] = {}
        for age, piece in enumerate(pieces):
            name, _, after = piece.rpartition(b"\n")
            found[_text(name)] = _entry(before, changed_at=len(pieces) - age)
            before = after
        for link in filter(None, links.split(b"\0")):
            found[_text(link[2:])] = Entry(OTHER, 0, 0)
        if "." not in found:  # every folder has that: one that seems to be empty may be somebody's
            raise OSError(errno.EIO, "`ls -n` or `xargs -0` does not work there")
        return {name: entry for name, entry in found.items() if name not in (".", "..")}

    def read(self, path: str) -> bytes:
        return self._do(f'{_IF_THERE}; cat "$1"', path)

    def make_folder(self, path: str) -> None:
        self._do('umask 077; mkdir -p "$1"', path)

    def real_path(self, folder: str) -> str:
        return _text(self._do(f'{_IF_THERE}; cd "$1" && pwd -P', folder)).removesuffix("\n")

    def remove(self, path: str) -> None:
        self._do('rm -f "$1"', path)

    def append(self, path: str, data: bytes) -> None:
        self._do('cat >> "$1"', path, data=data)

    def replace(self, path: str, target: str) -> None:
        # `mv` would put the file into a folder of that name.
        self._do(
            'if [ -d "$2" ]; then echo "mv: Is a directory" >&2; exit 1; fi; mv -f "$1" "$2"', path, target
        )

    def _do(self, script: str, *paths: str, data: bytes = b"", limit_bytes: int = MAX_READ_BYTES) -> bytes:
        """What a script writes whose arguments are paths, `data` on its standard input."""
        words = ["sh", "-c", f"{_PLAIN}; {script}", "sh", *map(_no_option, paths)]
        done = self._connection.execute(shlex.join(words), transfer_s(len(data)), data, limit_bytes)
        if done.status == _NOT_THERE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), paths[0])
        if done.status != 0:
            # What a command says of a file begins with its own name and the file's.
            said = last_line(done.errors.decode("utf-8", "replace")).rpartition(": ")[2]
            raise OSError(errno.EIO, said or f"exit status {done.status}", paths[0])
        return done.output


def _no_option(path: str) -> str:
    return path if path.startswith("/") else f"./{path}"


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _entry(listed: bytes, changed_at: int = 0) -> Entry:
    """What a line of `ls -n` says."""
    match = _BEGINNING.match(listed)
    if match is None:
        raise OSError(errno.EIO, f"ls wrote {listed[:80]!r}")
    return Entry(_KINDS.get(match[1], OTHER), int(match[2]), changed_at)
