"""Commands whose modules are imported when they are asked for: `--help` has to answer at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


@dataclass(frozen=True)
class Entry:
    """Where a command is (`module:attribute`, a function or a Typer application), and its line of help."""

    target: str
    help: str


class LazyGroup(TyperGroup):
    """A group of commands that are imported one at a time. Subclasses name them in `entries`, in order."""

    entries: ClassVar[Mapping[str, Entry]] = {}

    # Typer carries a Click of its own or uses the installed one, by version: the types are not to be named.
    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.entries.get(cmd_name)
        return None if entry is None else load(entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of `--help`, from the lines of help alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])


@cache
def load(entry: Entry) -> Any:
    """The command of an entry, as Typer makes it, put together once."""
    module, _, attribute = entry.target.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        application = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        application.command()(found)
        found = application
    return typer.main.get_command(found)
