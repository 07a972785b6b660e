"""What a way to a board's files has to offer; `ssh_files` has the rules of their use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# No file that is read back from a board is longer.
MAX_READ_BYTES = 4 << 20


@dataclass(frozen=True)
class Entry:
    """What lies in a folder under one name; `kind` as `modnas_agent.folder.kind_of` tells it.

    `changed_at`: in seconds. A way that cannot tell has numbers in the order of the changes, long ago.
    """

    kind: str
    bytes: int
    changed_at: int


class FileWay(Protocol):
    """One way. Paths that are not absolute begin at home; links are not followed.

    Raises:
        OSError: every method, with the board's words; FileNotFoundError where there is nothing of that name.
        DeviceUnavailableError: the connection is gone.
    """

    def lstat(self, path: str) -> Entry:
        """What a path is."""

    def entries(self, folder: str) -> dict[str, Entry]:
        """What lies in a folder, by name; what of it is no UTF-8 is escaped by surrogates."""

    def read(self, path: str) -> bytes:
        """A file's first `MAX_READ_BYTES`."""

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, where they are missing, for their owner alone."""

    def real_path(self, folder: str) -> str:
        """Absolute path of a folder without links."""

    def remove(self, path: str) -> None:
        """Delete a file."""

    def append(self, path: str, data: bytes) -> None:
        """Write at the end of a file, which is made where it is missing."""

    def replace(self, path: str, target: str) -> None:
        """Give a file the name `target`, at once, in place of a file that has it."""
