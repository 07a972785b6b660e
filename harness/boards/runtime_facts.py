"""Asking a board what decides whether a runtime can be installed there, and whether the one that is works."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from harness.agent.frames import FrameError, Name, Names, Text, parse
from harness.backends import Runtime
from harness.boards.board import Board
from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import ForeignDataError, clean_object, last_line

_MODULE = "modnas_agent.board.runtime_facts"
# Longer than its own limit for the import.
ASK_S = 150.0


class Facts(BaseModel):
    """What `modnas_agent.board.runtime_facts` answers, which has the meaning of the fields."""

    model_config = ConfigDict(strict=True)

    machine: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,40}$")]
    libc: Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=2, max_length=2)]
    bits: Annotated[int, Field(ge=16, le=128)]
    runtime: Name | None
    reason: Text | None
    signal: Annotated[str, Field(pattern=r"^SIG[A-Z0-9]{1,12}$")] | None
    versions: Annotated[dict[Name, Name], Field(max_length=100)]
    missing: Names
    lacking: Names
    noexec: Text | None
    pip: bool
    venv: bool
    termux: bool


def facts(board: Board, python: str, runtime: Runtime, packages: str | None = None) -> Facts:
    """What `python` says there, with `packages` on its path. The agent must be on the board.

    Raises DeviceUnavailableError when the interpreter fails.
    """
    path = ":".join(part for part in (board.archive_path, packages) if part)
    questions = {
        "backend": runtime.backend,
        "folder": board.directory,
        "libraries": list(runtime.libraries),
        "flags": list(runtime.cpu_flags),
        "packages": list(runtime.packages),
    }
    command = board.python_command(python, "-m", _MODULE, json.dumps(questions), packages=path)
    done = board.connection.run(command, ASK_S)
    try:
        answer = parse(Facts, clean_object((done.output.strip().splitlines() or [""])[-1]))
        for asked, told in (("libraries", answer.missing), ("flags", answer.lacking)):
            if unknown := set(told) - set(questions[asked]):
                raise FrameError(f"it was not asked for {', '.join(sorted(unknown))}")
    except (ForeignDataError, FrameError) as error:
        said = last_line(done.errors) or str(error)
        raise DeviceUnavailableError(f"{python} on {board.connection.address} fails: {said}") from error
    return answer
