"""What a backend needs on a board that `agent install` can bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# What compiled code needs of a board's system, with Debian's packages of it.
CPP_LIBRARIES = {"libstdc++.so.6": "libstdc++6"}


@dataclass(frozen=True)
class WheelFile:
    """One file out of a package that is too large for a board."""

    requirement: str
    path: str


@dataclass(frozen=True)
class Runtime:
    """What a backend needs on a board.

    `requirements`: packages of the index, which bring what they depend on. `files`: put beside them.
    `libraries`: system libraries that must be there, with Debian's packages of them. `needed_mb`: room on the
    board for all of it, unpacked, and for the file it comes in. `termux`: Termux's package of it.
    """

    backend: str
    name: str
    requirements: tuple[str, ...]
    needed_mb: int
    files: tuple[WheelFile, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=lambda: dict(CPP_LIBRARIES))
    termux: str | None = None

    @property
    def identity(self) -> dict[str, object]:
        """What makes an installation another one, JSON-able."""
        files = [[file.requirement, file.path] for file in self.files]
        return {"requirements": list(self.requirements), "files": files}
