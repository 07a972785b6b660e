"""The agent's version, which changes with every change of its code."""

from __future__ import annotations

import hashlib
import pkgutil
from typing import Iterable

RELEASE = "0.1.0"


def content_version(package_path: Iterable[str], package: str = "modnas_agent") -> str:
    """`<release>+<12 hex digits of the sha256 over the package's sources>`.

    A host compares it with its own to know whether the board runs the same code: a release number alone would
    call two development versions equal. It is the same from a folder and from a zip archive.
    """
    digest = hashlib.sha256()
    names = (module.name for module in pkgutil.walk_packages(package_path, package + "."))
    for name in sorted([package, *names]):
        digest.update(name.encode() + b"\0")
        digest.update(_source(name))
    return f"{RELEASE}+{digest.hexdigest()[:12]}"


def _source(name: str) -> bytes:
    """Source of the module `name`; a package's is its `__init__.py`."""
    parts = name.split(".")
    for resource in ("/".join([*parts[1:], "__init__.py"]), "/".join(parts[1:]) + ".py"):
        try:
            data = pkgutil.get_data(parts[0], resource)
        except OSError:
            continue
        if data is not None:
            return data
    return b""
