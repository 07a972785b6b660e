"""A home for what is measured in a check."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_home() -> Iterator[None]:
    """A home of its own for what is measured: nothing of the user's is read or written."""
    names = ("MODNAS_HOME", "MODNAS_STORE")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="modnas-check-") as folder:
        os.environ["MODNAS_HOME"] = folder
        os.environ.pop("MODNAS_STORE", None)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
