"""The agent as one file: every module of `modnas_agent` in a zip that Python runs."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType

from harness.core.home import has_sha256, write_atomically

_MAIN = "import sys\nfrom modnas_agent.cli import main\nsys.exit(main())\n"
# Zip entries carry a date; a fixed one makes equal sources give equal bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


def _modules(folder: Traversable, prefix: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found.update(_modules(entry, f"{prefix}{entry.name}/"))
        elif entry.name.endswith(".py"):
            found[prefix + entry.name] = entry.read_bytes()
    return found


@cache
def _own_modules() -> dict[str, bytes]:
    return {"__main__.py": _MAIN.encode(), **_modules(files("modnas_agent"), "modnas_agent/")}


def archive_bytes(more: Mapping[str, bytes] = _NOTHING) -> bytes:
    """The archive's content; equal for equal sources.

    `more`: sources of other packages by their path in the archive; they replace none of the agent's own.
    """
    modules = {**more, **_own_modules()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(modules):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), modules[name])
    return buffer.getvalue()


def write_archive(folder: Path, more: Mapping[str, bytes] = _NOTHING) -> Path:
    """Put the archive into `folder` under a name with its content's hash, unless it is there; its path."""
    content = archive_bytes(more)
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"modnas_agent-{sha256[:12]}.pyz"
    if not has_sha256(path, sha256):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return path
