"""A board over real SSH whose Python is played: one command answers as its mode says, the others are true.

A new mode is a line in `MODES`: which command of the host is played, and what the shell does instead.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from attack_frames import DEVICE, command_of
from boards_loopback import LoopbackBoard
from fake_agent import BREAKS, ENDLESS, LIES, TRUTH

#: By what in its words a command of the host's is known.
COMMANDS = {
    "version": "*modnas:*",
    "serve": "*' serve '*",
    "hash": "*hexdigest*",
    "hello": "*TemporaryDirectory*",
    "facts": "*board.runtime_facts*",
}
NAME = "fakeboard"
_PRINTED_ESCAPES = r"\033[31mred\033[0m \033]0;title\007 \302\233\342\200\256over\000\377"

Mode = tuple[str, str]


def prints(command: str, text: str, ending: str = "exit 0") -> Mode:
    """That command prints `text` (for printf) and ends."""
    return command, f"printf '%b' '{text}'; {ending}"


#: Mode: (the command that is played, what the shell does in its place). All exit 3.
MODES: dict[str, Mode] = {
    "version of a thousand digits": prints("version", f"modnas:{'9' * 5000}.1.1:/usr/bin/python3\\n"),
    "version is a word": prints("version", "modnas:three.one.two:/usr/bin/python3\\n"),
    "version with two parts": prints("version", "modnas:3.11:/usr/bin/python3\\n"),
    "version in other digits": prints("version", "modnas:\\u0663.\\u0661\\u0661.\\u00b2:/usr/bin/python3\\n"),
    "negative version": prints("version", "modnas:-3.-11.0:/usr/bin/python3\\n"),
    "version in escapes": prints("version", f"{_PRINTED_ESCAPES}\\n"),
    "old version at a path in escapes": prints("version", f"modnas:2.7.1:/{_PRINTED_ESCAPES}\\n"),
    "version for ever": ("version", "exec yes modnas:"),
    "nothing said": prints("version", ""),
    "no hash": prints("hash", "\\n"),
    "hash for ever": ("hash", "exec yes"),
    "greeting is a list": prints("hello", "[1]\\n"),
    "greeting is half an object": prints("hello", "{\\n"),
    "greeting is an empty object": prints("hello", "{}\\n"),
    "greeting of another protocol": prints("hello", '{"protocol": 99}\\n'),
    "greeting with a list as inventory": prints(
        "hello", '{"event": "hello", "protocol": 1, "agent_version": "1", "inventory": [1]}\\n'
    ),
    "greeting of a deep inventory": prints(
        "hello", f'{{"event": "hello", "protocol": 1, "inventory": {"[" * 900}{"]" * 900}}}\\n'
    ),
    "greeting in escapes": ("hello", f"printf '%b' '{_PRINTED_ESCAPES}' >&2; exit 1"),
    "facts are a list": prints("facts", "[]\\n"),
    "facts are a number": prints("facts", "5\\n"),
    "facts of nothing": prints("facts", "{}\\n"),
    "facts in escapes": ("facts", f"printf '%b' '{_PRINTED_ESCAPES}' >&2; exit 1"),
    "facts of wrong types": prints(
        "facts",
        '{"machine": 5, "libc": "glibc", "runtime": [], "reason": {}, "pip": 1, "venv": "no", '
        '"termux": null, "missing": 7, "bits": "64", "signal": 4, '
        '"versions": [], "lacking": {}, "noexec": 1}\\n',
    ),
    "facts of a signal that is none": prints(
        "facts",
        '{"machine": "x86_64", "libc": ["glibc", "2.36"], "runtime": null, "reason": null, "pip": true, '
        '"venv": true, "termux": false, "missing": [], "bits": 64, "signal": "kill -9 1", '
        '"versions": {}, "lacking": [], "noexec": null}\\n',
    ),
    "facts of an absurd C library": prints(
        "facts",
        '{"machine": "x86_64", "libc": ["glibc", "2.99999999999"], "runtime": null, "reason": null, '
        '"pip": true, "venv": true, "termux": false, "missing": [], "bits": 64, "signal": null, '
        '"versions": {}, "lacking": [], "noexec": null}\\n',
    ),
    "facts with libraries nobody asked for": prints(
        "facts",
        '{"machine": "x86_64", "libc": ["glibc", "2.36"], "runtime": null, "reason": null, "pip": true, '
        '"venv": true, "termux": false, "missing": ["libsurprise.so"], "bits": 64, "signal": null, '
        '"versions": {}, "lacking": [], "noexec": null}\\n',
    ),
    "stderr for ever": ("serve", "exec yes >&2"),
    "stderr, and then death": ("serve", f"printf '%b' '{_PRINTED_ESCAPES}' >&2; exit 4"),
    "garbage for ever": ("serve", "exec yes garbage"),
    "silence": ("serve", "exec sleep 60"),
}
#: Modes of the agent that are also tried over SSH, and the exit code of each.
AGENT_MODES = {
    TRUTH: 0,
    "negative median": 1,
    "outputs far off": 1,
    "inventory is a list": 3,
    "progress of texts": 3,
    "unknown event in escapes": 3,
    "death at the result": 3,
    "nested to the stack": 3,
    "progress for ever": 3,
}
assert AGENT_MODES.keys() <= {TRUTH, *LIES, *BREAKS, *ENDLESS}


def write_board(board: LoopbackBoard, home: Path, folder: Path, command: str, shell: str) -> None:
    """A profile `fakeboard` whose Python does `shell` in place of that command."""
    python = folder / "python"
    python.write_text(
        f'#!/bin/sh\ncase " $* " in {COMMANDS[command]}) {shell};; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    profile = yaml.safe_load(DEVICE)
    directory = str(folder / "agent")
    ssh = board.endpoint.transport(python=str(python), directory=directory)
    ssh["ssh"]["reconnect_s"] = 1.0
    content = {**profile, "name": NAME, "transport": ssh}
    (home / "devices" / f"{NAME}.yaml").write_text(yaml.safe_dump(content))


def playing(mode: str) -> tuple[str, str]:
    """The board mode in which the agent there plays a mode of `fake_agent.py`."""
    return "serve", f"exec {command_of(mode)}"
