"""What is sent to a board's login shell: one line that each common one reads alike, and that starts `sh`.

Bourne shells, csh and fish agree on words in single quotes as long as neither backslashes, quotes,
exclamation marks nor newlines are in them: those travel as numbers. What they mean is for `sh`, which every
board has.
"""

from __future__ import annotations

import re

# At home: the login shell may have gone elsewhere, and folders in profiles are relative to the home.
_SCRIPT = 'cd; eval "$(printf %b "$@")"'
# Characters of a word, each sent as five at most: BSD's C shell takes no word of 1024.
_WORD = 100
_UNSAFE = re.compile(rb"[^ -~]|[\\'!]")


def for_login_shell(command: str) -> str:
    """A line for any login shell that runs a command of POSIX `sh`, at home, in the login shell's place."""
    sent = _UNSAFE.sub(lambda found: b"\\0%03o" % found[0][0], command.encode("utf-8", "surrogateescape"))
    escaped = re.findall(rf"(?:\\0[0-7]{{3}}|[^\\]){{1,{_WORD}}}", sent.decode("ascii"))
    return " ".join([f"exec sh -c '{_SCRIPT}' sh", *(f"'{word}'" for word in escaped)])
