"""OpenSSH's configuration files, read without OpenSSH: the first value of an option counts.

Of `Match` everything is known but `canonical`, and no host's name is made canonical.
"""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.core.system_errors import told
from harness.transport.ssh_known_hosts import matches
from harness.transport.ssh_tokens import replace_in_command, token_values
from modnas.core.bounded import check_file

# OpenSSH's own limit for files that include each other.
_MAX_DEPTH = 16
_LARGEST = 1 << 24  # bytes
# `Match exec` runs a command of the user's.
COMMAND_S = 10.0
_LINE = re.compile(r'\s*"?([A-Za-z][A-Za-z0-9]*)"?(?:\s*=\s*|\s+)(\S.*)', re.DOTALL)
_QUOTED = re.compile(r"""\\["'\\ ]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""")
_WORD = re.compile(rf"""(?:{_QUOTED.pattern}|[^\s"'])+(?=\s|$)""")
# One may be given several times, and each counts.
_SEVERAL = ("identityfile", "certificatefile")
# The first of them is the way.
_WAYS = ("proxyjump", "proxycommand")
# Each word is a value; of the others all words are one.
_LISTS = (*_SEVERAL, "userknownhostsfile", "globalknownhostsfile")
# The rest of the line as it stands is for a shell.
_COMMANDS = ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")


class ConfigFileError(ValueError):
    """A configuration that cannot be used, with the file and the line."""


def read_files(alias: str, files: Iterable[Path], user: str | None) -> dict[str, list[str]]:
    """The options of a host by their names in small letters. A file that does not exist says nothing.

    Args:
        user: who logs in, whatever the files say.

    Raises:
        ConfigFileError: a file cannot be read, or a line is no option.
    """
    reading = _Reading(alias, user)
    for again in (False, True):
        reading.final = again
        for file in files:
            if file.exists():
                reading.read(file, active=True, depth=0)
        if not reading.asked_for_final:
            break
    return reading.values


class _Reading:
    def __init__(self, alias: str, user: str | None) -> None:
        self._alias, self._user = alias, user
        self.values: dict[str, list[str]] = {}
        self.final = self.asked_for_final = False

    def read(self, file: Path, *, active: bool, depth: int) -> None:
        """Take in a file; it says nothing where it is included in a block for other hosts."""
        if depth > _MAX_DEPTH:
            raise ConfigFileError(f"{file} is included in itself")
        outside = active
        for number, line in enumerate(_lines(file), 1):
            try:
                if (option := _option(line)) is None:
                    continue
                key, text, words = option
                if key == "host":
                    active = outside and matches(self._alias, words)
                elif key == "match":
                    active = self._is_match(words) and outside
                elif key == "include":
                    for path in _included(words, file):
                        self.read(path, active=active, depth=depth + 1)
                elif active:
                    self._take(key, text, words)
            except ConfigFileError:
                raise
            except ValueError as error:
                raise ConfigFileError(f"{file} line {number}: {error}") from error

    def _take(self, key: str, text: str, words: list[str]) -> None:
        if key in _WAYS and any(way in self.values for way in _WAYS):
            return
        found = words if key in _LISTS else [text if key in _COMMANDS else " ".join(words)]
        if key in _SEVERAL:
            known = self.values.setdefault(key, [])
            known += [value for value in found if value not in known]
        else:
            self.values.setdefault(key, found)

    @property
    def _host(self) -> str:
        return (self.values.get("hostname") or ["%h"])[0].replace("%h", self._alias)

    @property
    def _login(self) -> str:
        return self._user or (self.values.get("user") or [getpass.getuser()])[0]

    def _is_match(self, words: list[str]) -> bool:
        """Whether all conditions of a line hold; each is looked at, so that a wrong one is told."""
        holds, left = True, list(words)
        while left:
            name, equals, argument = left.pop(0).partition("=")
            kind = name.lower().removeprefix("!")
            if kind in ("all", "final", "canonical"):
                self.asked_for_final |= kind == "final"
                found = kind == "all" or (kind == "final" and self.final)
            else:
                if not equals:
                    if not left:
                        raise ValueError(f"Match {name} needs a value")
                    argument = left.pop(0)
                found = holds and self._is_so(kind, argument)
            holds = holds and found != name.startswith("!")
        return holds

    def _is_so(self, kind: str, argument: str) -> bool:
        if kind == "exec":
            return self._succeeds(argument)
        texts = {
            "host": self._host,
            "originalhost": self._alias,
            "user": self._login,
            "localuser": getpass.getuser(),
        }
        if kind not in texts:
            raise ValueError(f"unknown condition {kind!r}")
        return matches(texts[kind], argument.split(","))

    def _succeeds(self, command: str) -> bool:
        port = (self.values.get("port") or ["22"])[0]
        tokens = token_values(self._alias, self._host, port, self._login, self._alias)
        text = replace_in_command(command, tokens)
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", text],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=COMMAND_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"a command took more than {COMMAND_S:.0f} s") from error
        return done.returncode == 0


def _lines(file: Path) -> Sequence[str]:
    try:
        check_file(file, _LARGEST)
        return file.read_text("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        raise ConfigFileError(f"{file} cannot be read: {told(error, file)}") from error


def _option(line: str) -> tuple[str, str, list[str]] | None:
    """Name, text and words of a line; None for one that says nothing. Raises ValueError."""
    text = line.rstrip(" \t\r\f")
    if not text or text.lstrip().startswith("#"):
        return None
    found = _LINE.fullmatch(text)
    words = [] if found is None else _words(found[2])
    if found is None or not words:
        raise ValueError(f"{text[:40]!r} is no option with a value")
    return found[1].lower(), found[2], words


def _words(text: str) -> list[str]:
    """Words, those in quotes as one, up to a comment. Raises ValueError."""
    words, rest = [], text
    while rest and not rest.startswith("#"):
        found = _WORD.match(rest)
        if found is None:
            raise ValueError(f"a quote in {text[:40]!r} has no end")
        words.append(_QUOTED.sub(_unquoted, found[0]))
        rest = rest[found.end() :].lstrip(" \t")
    return words


def _unquoted(piece: re.Match[str]) -> str:
    text = piece[0]
    return text[1] if text[0] == "\\" else re.sub(r"\\([\"'\\])", r"\1", text[1:-1])


def _included(patterns: Iterable[str], file: Path) -> list[Path]:
    folder = file.parent if file.is_relative_to("/etc/ssh") else Path.home() / ".ssh"
    full = (str((folder / Path(pattern).expanduser()).absolute()) for pattern in patterns)
    return [path for pattern in full for path in sorted(Path("/").glob(pattern[1:]))]
