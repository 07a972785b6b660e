"""The process that a command runs in: its streams and signals are in order before anything is imported."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from harness.cli.interruption import INTERRUPTED, INTERRUPTION, is_interruption

# What programs are ended with by a terminal, an init system, and a terminal that is gone.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code: 0 done, 1 failed, 2 wrong usage, 3 a device is unavailable.

    128 and a signal's number where that ended it. With `arguments` it is run within another program, whose
    streams and signals stay as they are.
    """
    if arguments is not None:
        return _run(arguments)
    open_streams()
    with _signals() as received:
        try:
            code = _run(sys.argv[1:])
            _empty(sys.stdout)
            _empty(sys.stderr)
        except KeyboardInterrupt:  # a second one, while the first is told
            code = INTERRUPTED
    return 128 + received[0] if code == INTERRUPTED and received else code


def _run(arguments: Sequence[str]) -> int:
    try:
        from harness.cli.app import run  # takes a quarter of a second, in which people change their minds
    except BaseException as error:
        if not is_interruption(error):
            raise
        print(INTERRUPTION, file=sys.stderr)
        if "--json" in arguments:
            print(f'{{"error": {{"code": "interrupted", "message": "{INTERRUPTION}"}}}}')
        return INTERRUPTED
    return run(arguments)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """What would end the process at once ends the work instead, as Ctrl-C does: temporary files are removed.

    Yields the signals that came. Afterwards nothing interrupts the interpreter, which has only to end.
    """
    received: list[int] = []
    process = os.getpid()

    def end(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != process:  # a child that has not got handlers of its own yet
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        received.append(number)
        raise KeyboardInterrupt

    kept = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores one
    for number in kept:
        signal.signal(number, end)
    try:
        yield received
    finally:
        for number in kept:
            signal.signal(number, signal.SIG_IGN)


def _empty(stream: TextIO) -> None:
    """Leave nothing in its buffer that would fail once more when the interpreter ends, which then says so
    with a traceback or an exit code of its own."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def open_streams() -> None:
    """Standard streams where the process was started without them, and none that cannot write a character.

    Else the next file that is opened, such as the store, has a closed stream's number, and what a library
    prints goes into it. What is written to a stdout that was closed fails; a closed stderr takes everything.
    """
    for number, name, way in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_RDONLY),
        (2, "stderr", os.O_WRONLY),
    ):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, way)  # the lowest number that is free: those below are open
            os.set_inheritable(number, True)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal of another alphabet
            stream.reconfigure(errors="backslashreplace")
