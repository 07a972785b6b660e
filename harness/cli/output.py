"""Where commands write: one JSON document to stdout with --json, everything for people to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from tabulate import tabulate

from harness.core.errors import ModnasHwError
from harness.core.progress import Event, Note
from harness.core.system_errors import told

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


# What would move the cursor, colour the terminal or reorder a line: names come from files and boards of
# others. Line breaks and tabs stay.
_HIDDEN = (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _HIDDEN}
_ESCAPES |= {ord(kept): kept for kept in "\n\t"}


class OutputError(ModnasHwError):
    """The result cannot be written where it was to go."""

    code = "output"


def say(text: str) -> None:
    """One line for a person. Control characters are shown, not sent.

    That nobody reads any more is no reason to end what is being measured.
    """
    with suppress(OSError):
        print(text.translate(_ESCAPES), file=sys.stderr, flush=True)


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: what is not a number is absent."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def print_json(document: Any) -> None:
    """The command's result on stdout. Raises OutputError."""
    text = json.dumps(_finite(document), indent=2, allow_nan=False)
    try:
        print(text, flush=True)
    except OSError as error:
        raise OutputError(
            f"the result cannot be written to stdout ({told(error)}); what was done is kept"
        ) from error


def error_document(code: str, message: str, details: Sequence[str] = ()) -> dict[str, Any]:
    """What `--json` prints of a failure. `details`: lines that belong before the message."""
    error: dict[str, Any] = {"code": code, "message": message}
    return {"error": {**error, "details": list(details)} if details else error}


def print_table(rows: Sequence[Sequence[Any]], headers: Sequence[str]) -> None:
    """A table for a person; absent values show as a dash."""
    say(tabulate(rows, headers=headers, floatfmt=".4g", missingval="-"))


class Shown:
    """Shows progress on stderr: notes as lines, stages as bars for as long as they last."""

    def __init__(self) -> None:
        self._bars: dict[str, tuple[Progress, TaskID]] = {}

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Note):
            say(event.text)
            return
        if event.name not in self._bars:
            bar = progress_bar(event.unit)
            bar.start()
            task = bar.add_task(event.name, total=event.total, completed=event.done, rate="-", note="")
            self._bars[event.name] = bar, task
        bar, task = self._bars[event.name]
        rate = "-" if event.rate is None else f"{event.rate:.{0 if event.rate >= 100 else 2}f}"
        bar.update(task, completed=event.done, total=event.total, rate=rate, note=event.note)
        if event.ended:
            bar.stop()
            del self._bars[event.name]


def progress_bar(unit: str) -> Progress:
    """Bar with count, rate and time left on stderr. Nothing is drawn where stderr is no terminal."""
    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{{task.fields[rate]}} {unit}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
