"""The `modnas-hw` application: commands put together, errors turned into one line and an exit code."""

from __future__ import annotations

import itertools
import os
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer
from modnas_agent.errors import MEMORY, RUNTIME
from modnas_agent.foreign_errors import reason_of

# Before anything imports onnxruntime, which otherwise sends usage data from a thread of its own.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from harness.cli.interruption import INTERRUPTED, INTERRUPTION, is_interruption
from harness.cli.lazy import Entry, LazyGroup
from harness.cli.output import OutputError, error_document, print_json, say
from harness.core.errors import UsageError
from harness.core.system_errors import told
from modnas.core.errors import ModnasError


class Commands(LazyGroup):
    """All commands, in the order of a person's way through them."""

    entries: ClassVar[Mapping[str, Entry]] = {
        "doctor": Entry("harness.cli.doctor:doctor", "Check what works on this machine."),
        "devices": Entry("harness.cli.devices:app", "List, add, check and remove devices."),
        "agent": Entry("harness.cli.agent:app", "The agent and its runtime on a board."),
        "profile": Entry("harness.cli.profile:profile", "Measure architectures on devices."),
        "tune": Entry("harness.cli.tune:tune_command", "Tune TVM for a device, once for a whole space."),
        "features": Entry("harness.cli.features:features", "The device vector."),
        "dataset": Entry("harness.cli.dataset:app", "Training sets and published tables."),
        "predictor": Entry("harness.cli.predictor:app", "Train, judge and ask the MetaPredictor."),
        "search": Entry("harness.cli.search:search", "Profile, predict, search, verify and report."),
        "front": Entry("harness.cli.search:front", "The front of a device, searched or not."),
        "verify": Entry("harness.cli.search:verify", "Train and measure the networks of a front."),
        "report": Entry("harness.cli.search:report", "Write the report of a run."),
        "benchmark": Entry("harness.cli.benchmark:benchmark_app", "The paper's experiments."),
        "baselines": Entry("harness.cli.baselines:baselines", "Compare methods on published tables."),
    }


app = typer.Typer(
    name="modnas-hw",
    cls=Commands,
    help="Find and measure neural architectures for your devices.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    if debug:
        os.environ["MODNAS_DEBUG"] = "1"


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit code. What it raises becomes one line, with `--json` a document too."""
    try:
        result = int(app(args=list(arguments), prog_name="modnas-hw", standalone_mode=False) or 0)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("MODNAS_DEBUG"):
            traceback.print_exc()
        failure = _failure(error)
    else:
        if result != INTERRUPTED:
            return result
        failure = _INTERRUPTION
    for line in failure.details:
        say(line)
    say(f"error: {failure.message}" if failure.is_error else failure.message)
    if "--json" in itertools.takewhile(lambda word: word != "--", arguments):
        with suppress(OutputError):  # that was said, or belongs after the error
            print_json(error_document(failure.code, failure.message, failure.details))
    return failure.exit_code


@dataclass(frozen=True)
class Failure:
    """How a command failed. `is_error`: the message is one line that says what is wrong, and no help."""

    code: str
    message: str
    exit_code: int
    details: tuple[str, ...] = ()
    is_error: bool = True


_SEE_MORE = "run with --debug for the traceback"
_LONGEST = 4000
_INTERRUPTION = Failure("interrupted", INTERRUPTION, INTERRUPTED, is_error=False)


def _failure(error: BaseException) -> Failure:
    if is_interruption(error):
        return _INTERRUPTION
    if isinstance(error, ModnasError):
        return Failure(error.code, _bounded(str(error)), error.exit_code, error.details)
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failure(UsageError.code, str(error), UsageError.exit_code, is_error=False)
    if hasattr(error, "format_message"):  # Click's, which Typer may carry as a copy of its own
        return Failure(UsageError.code, _usage(error), UsageError.exit_code)
    if refused := _refused_by_system(error):
        return Failure("system", refused, 1)
    return Failure("internal", f"{_bounded(f'{type(error).__name__}: {error}')} ({_SEE_MORE})", 1)


def _refused_by_system(error: BaseException) -> str | None:
    """What the operating system did not give, told as that; None for any other error."""
    if isinstance(error, OSError) and error.errno is not None:
        return told(error)
    if isinstance(error, (MemoryError, RuntimeError)) and reason_of(error, RUNTIME) == MEMORY:
        return "out of memory; end other programs, or choose smaller sizes"
    return None


def _bounded(text: str) -> str:
    """A text as a line that can be read: what was given may be long, what is to be done stands at the end."""
    line, half = " ".join(text.split()), _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]} … {line[-half:]}"


def _usage(error: Any) -> str:
    """What Click says of wrong usage, and the help of the command that it is about."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "modnas-hw"
    message = error.format_message()
    if context and hasattr(context.command, "list_commands") and type(error).__name__ == "NoSuchOption":
        message = f"{message}; name a command first: {', '.join(context.command.list_commands(context))}"
    return f"{_bounded(message)} (see {path} --help)"
