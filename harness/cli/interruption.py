"""What Ctrl-C ends a command with."""

from __future__ import annotations

import signal

INTERRUPTION = "interrupted; what was finished is kept"
INTERRUPTED = 128 + signal.SIGINT  # which is what Typer makes of it, too


def is_interruption(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: a module whose import is interrupted may raise anything."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
