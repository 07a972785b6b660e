"""Things by name: those that come with the project, and those that other packages offer by entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from modnas.core.errors import InputError

T = TypeVar("T")


class UnknownNameError(InputError, KeyError):
    """There is nothing of that name; the message lists the names that there are."""

    code = "unknown-name"

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError's own shows the message in quotes


class PluginError(InputError):
    """Something that another package offers cannot be used; the message names that package."""

    code = "plugin"


class Registry(Generic[T]):
    """Objects of one kind by name. Listing names imports nothing; an object is imported when it is asked for.

    Args:
        kind: what they are, for messages, e.g. `space`.
        group: the entry-point group by which other packages offer theirs.
        built_in: name -> `module:attribute`. A built-in one wins over another package's of the same name.
        accepts: whether what another package offers is such an object.
        expected: what that is, for messages.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        built_in: Mapping[str, str],
        *,
        accepts: Callable[[Any], bool] = callable,
        expected: str = "something to call",
    ) -> None:
        self.kind, self.group = kind, group
        self._built_in = dict(built_in)
        self._accepts, self._expected = accepts, expected

    @property
    def built_in(self) -> list[str]:
        """Names of what comes with the project, in the order of the documentation."""
        return list(self._built_in)

    def names(self) -> list[str]:
        """All names: the built-in ones in the order of the documentation, then the others, sorted."""
        return [*self._built_in, *sorted({entry.name for entry in self._plugins()} - set(self._built_in))]

    def load(self, name: str) -> T:
        """The object called `name`.

        Raises:
            UnknownNameError: there is none.
            PluginError: another package offers it, and it cannot be imported, or is something else.
        """
        if name in self._built_in:
            module, _, attribute = self._built_in[name].partition(":")
            built_in: T = getattr(import_module(module), attribute)
            return built_in
        entry = self._plugin(name)
        try:
            found: T = entry.load()
        except Exception as error:
            told = " ".join(str(error).split())
            raise PluginError(
                f"{self._of(entry)} cannot be loaded ({type(error).__name__}: {told}); repair or uninstall it"
            ) from error
        if not self._accepts(found):
            raise PluginError(f"{self._of(entry)} ({entry.value}) is not {self._expected}; ask its authors")
        return found

    def origin(self, name: str) -> str | None:
        """Package and version that offer `name`, e.g. `modnas-extra 1.2`; None for what is built in.

        Raises UnknownNameError, and PluginError where several packages offer it.
        """
        return None if name in self._built_in else _distribution(self._plugin(name))

    def _plugins(self) -> list[EntryPoint]:
        return list(entry_points(group=self.group))

    def _plugin(self, name: str) -> EntryPoint:
        found = [entry for entry in self._plugins() if entry.name == name]
        if not found:
            raise UnknownNameError(f"no {self.kind} {name!r}; known: {', '.join(self.names())}")
        if len(found) > 1:
            offering = " and ".join(sorted(_distribution(entry) for entry in found))
            raise PluginError(f"{self.kind} {name!r} is offered by {offering}; uninstall all but one")
        return found[0]

    def _of(self, entry: EntryPoint) -> str:
        return f"{self.kind} {entry.name!r} of package {_distribution(entry)}"


def _distribution(entry: EntryPoint) -> str:
    """Name and version of the package that an entry point belongs to."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "unknown"
