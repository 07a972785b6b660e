"""The agent's folder on a board: whether it may be used, and what is done in it there.

Nothing is written into a folder that holds anything of somebody else's and was not the agent's before, and
nothing is ever removed but what `modnas_agent.folder` knows as the agent's.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from modnas_agent.folder import FILE, MANIFEST, MARKER, in_the_way, is_agents

from harness.core.errors import DeviceUnavailableError
from harness.transport.file_ways import Entry
from harness.transport.ssh_files import BoardFiles

_FORMAT = 1
# A runtime is some thousand files, on a slow disk.
REMOVE_S = 300.0
_TOLD = 3


@dataclass(frozen=True)
class Left:
    """What a removal left because it is not the agent's: `count` things, of which `names` tells the first.

    `there`: whether the folder itself is there still.
    """

    names: tuple[str, ...] = ()
    count: int = 0
    there: bool = False


class AgentFolder:
    """One folder on one board; `path` as the profile has it, relative to the user's home there."""

    def __init__(self, files: BoardFiles, path: str) -> None:
        self._files, self.path = files, path

    def entries(self) -> Mapping[str, Entry] | None:
        """What lies in it, by name; None where there is none. Raises DeviceUnavailableError for a link."""
        return self._files.entries(self.path)

    def check(self) -> Mapping[str, Entry] | None:
        """Make sure that the folder may be written to; what lies in it, None where it does not exist yet.

        Raises:
            DeviceUnavailableError: it holds somebody else's files and none of the agent's, it is somebody's
                home, or something else lies where the agent's files belong.
        """
        found = self.entries()
        if found and not self.is_agents(found):
            raise DeviceUnavailableError(
                f"{self._where} holds files that are not the agent's ({told(sorted(found))}): nothing was "
                "written there; name a folder of the agent's own as `directory` in the profile"
            )
        if found is not None and not found and self._is_home():
            raise DeviceUnavailableError(
                f"{self._where} is a home folder: nothing was written there; name a folder of the agent's "
                "own as `directory` in the profile"
            )
        if wrong := in_the_way({name: entry.kind for name, entry in (found or {}).items()}):
            raise DeviceUnavailableError(
                f"{self._where} holds something in the agent's place that is not the agent's "
                f"({told(wrong)}): nothing was written there; move it away"
            )
        return found

    def is_agents(self, found: Mapping[str, Entry]) -> bool:
        """Whether a folder with these entries was made by the agent, of this version or an earlier one."""
        if is_agents({name: entry.kind for name, entry in found.items()}):
            return True
        manifests = [name for name, entry in found.items() if entry.kind == FILE and MANIFEST.fullmatch(name)]
        return any(self._is_manifest(name) for name in manifests)

    def _is_manifest(self, name: str) -> bool:
        """Others may have a file of that name: its content decides."""
        try:
            content = json.loads(self._files.read(f"{self.path}/{name}") or b"")
        except ValueError:
            return False
        return isinstance(content, dict) and {"version", "python", "runtime_version"} <= set(content)

    def mark(self) -> None:
        """Say in the folder that it is the agent's, for later calls."""
        if MARKER not in (self.entries() or {}):
            content = json.dumps({"format": _FORMAT, "what": "the folder of modnas-hw's agent"})
            self._files.write(f"{self.path}/{MARKER}", content.encode())

    def _is_home(self) -> bool:
        home, path = self._files.real_path("."), self._files.real_path(self.path)
        return posixpath.commonpath([home, path]) == path

    @property
    def _where(self) -> str:
        return f"{self.path} on {self._files.connection.address}"


def told(names: Sequence[str], count: int | None = None) -> str:
    """The first of several names, and how many more of `count` there are."""
    more = (len(names) if count is None else count) - _TOLD
    return ", ".join(map(_printable, names[:_TOLD])) + (f", and {more} more" if more > 0 else "")


def _printable(name: str) -> str:
    """A foreign name for a message of one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def program() -> bytes:
    """What runs on the board to unpack and to remove: the source of `modnas_agent.folder`."""
    return files("modnas_agent").joinpath("folder.py").read_bytes()
