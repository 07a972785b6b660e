"""TVM's tensor instructions, imported ten times as fast as it imports them itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType


def load_intrinsics() -> None:
    """Import them, once; MetaSchedule would otherwise when it tunes its first operator.

    Each of some 250 is a script that asks for the whole stack with every caller's source lines, and finds
    those of Python's own importer, which have no file, by looking through all modules: half a minute of
    CPU time. What it wants of the stack is the frames; the lines tell only scripts in a class, which
    these are not.
    """
    with _stack_without_source():
        import_module("tvm.s_tir.tensor_intrin")


@contextmanager
def _stack_without_source() -> Iterator[None]:
    complete = inspect.stack
    inspect.stack = _stack
    try:
        yield
    finally:
        inspect.stack = complete


def _stack(context: int = 1) -> list[inspect.FrameInfo]:
    """As `inspect.stack`, without lines of source."""
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found
