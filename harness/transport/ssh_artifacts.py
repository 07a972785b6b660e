"""The networks that a board keeps: brought once, and the least recently used deleted when room is needed.

They are named by their content. What is named otherwise, or is a link, is somebody else's: it counts for
nothing here and stays.
"""

from __future__ import annotations

import time
from pathlib import Path

from modnas_agent.folder import ARTIFACT, FILE

from harness.core.errors import DeviceUnavailableError
from harness.core.home import file_sha256
from harness.transport.file_ways import Entry
from harness.transport.ssh_files import BoardFiles, BoardFullError


class BoardArtifacts:
    """The folder of uploaded networks on a board, which may have `limit_bytes` of them.

    It is listed when it is first needed.
    """

    def __init__(self, files: BoardFiles, folder: str, limit_bytes: int) -> None:
        self._files, self._folder, self._limit_bytes = files, folder, limit_bytes
        self._own: dict[str, Entry] | None = None
        self._foreign: set[str] = set()

    def bring(self, path: Path, *, anew: bool = False) -> str:
        """Have a file on the board; its name in the folder.

        Args:
            anew: even if it seems to be there already.

        Raises:
            BoardFullError: not even without the other networks is there room for it.
            DeviceUnavailableError: the folder or a file in it is not the agent's, or cannot be written.
        """
        name = f"{file_sha256(path)}{''.join(path.suffixes)}"
        size = path.stat().st_size
        own = self._listed()
        if name in self._foreign:
            raise DeviceUnavailableError(
                f"{self._folder}/{name} on {self._files.connection.address} is no file of the agent's; "
                "move it away"
            )
        if anew or name not in own or own[name].bytes != size:
            self._upload(name, path, size)
        # Used now: whatever makes room leaves it for last.
        own[name] = Entry(FILE, size, int(time.time()))
        return name

    def _listed(self) -> dict[str, Entry]:
        """The networks there."""
        if self._own is None:
            found = self._files.entries(self._folder)
            if found is None:
                self._files.make_folder(self._folder)
            self._own = {}
            for name, entry in (found or {}).items():
                if entry.kind == FILE and ARTIFACT.fullmatch(name):
                    self._own[name] = entry
                else:
                    self._foreign.add(name)
        return self._own

    def _upload(self, name: str, path: Path, size: int) -> None:
        own = self._listed()
        own.pop(name, None)
        self._delete(size + sum(entry.bytes for entry in own.values()) - self._limit_bytes)
        while True:
            try:
                self._files.write(f"{self._folder}/{name}", path)
                return
            except BoardFullError:
                if not self._delete(size):
                    raise

    def _delete(self, wanted: int) -> int:
        """Delete the networks that were not used for longest, until so many bytes are free; how many are."""
        own, freed = self._listed(), 0
        for name, entry in sorted(own.items(), key=lambda item: item[1].changed_at):
            if freed >= wanted:
                break
            self._files.remove(f"{self._folder}/{name}")
            del own[name]
            freed += entry.bytes
        return freed
