"""What to do where a runtime of this machine cannot be imported."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError, version

from harness.backends import get_backend
from harness.core.errors import ModnasHwError


def local_hint(backend: str, crashed: bool) -> str | None:
    """The command that installs a runtime here, or another version of one whose import crashes.

    None where it is installed and fails in another way, or is not one that we know the packages of.
    """
    try:
        runtime = get_backend(backend).runtime()
    except ModnasHwError:
        return None
    name, pip = runtime.packages[0], [sys.executable, "-m", "pip", "install"]
    try:
        installed = version(name)
    except PackageNotFoundError:
        return f"install it with: {shlex.join([*pip, *runtime.requirements])}"
    if not crashed:
        return None
    return f"take another version of it, for example with: {shlex.join([*pip, f'{name}!={installed}'])}"
