"""The `modnas-hw` application: commands put together, errors turned into one line and an exit code."""

from __future__ import annotations

import itertools
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

# Before anything imports onnxruntime, which otherwise sends usage data from a thread of its own.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from harness.cli.lazy import Entry, LazyGroup
from harness.cli.output import error_document, print_json, say
from harness.core.errors import UsageError
from modnas.core.errors import ModnasError

# What Typer makes of Ctrl-C.
INTERRUPTED = 130


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code: 0 done, 1 failed, 2 wrong usage, 3 a device is unavailable."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = int(app(args=given, standalone_mode=False) or 0)
    except Exception as error:
        if os.environ.get("MODNAS_DEBUG"):
            traceback.print_exc()
        failure = _failure(error)
        for line in failure.details:
            say(line)
        say(failure.message if failure.is_help else f"error: {failure.message}")
    else:
        if result != INTERRUPTED:
            return result
        failure = Failure("interrupted", "interrupted; what was finished is kept", INTERRUPTED)
        say(failure.message)
    if "--json" in itertools.takewhile(lambda word: word != "--", given):
        print_json(error_document(failure.code, failure.message, failure.details))
    return failure.exit_code


@dataclass(frozen=True)
class Failure:
    """How a command failed. `is_help`: the message is the help of a group of commands, of several lines."""

    code: str
    message: str
    exit_code: int
    details: tuple[str, ...] = ()
    is_help: bool = False


def _failure(error: Exception) -> Failure:
    if isinstance(error, ModnasError):
        return Failure(error.code, " ".join(str(error).split()), error.exit_code, error.details)
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failure(UsageError.code, str(error), UsageError.exit_code, is_help=True)
    if hasattr(error, "format_message"):  # Click's, which Typer may carry as a copy of its own
        text = f"{error.format_message()} (see modnas-hw --help)"
        return Failure(UsageError.code, " ".join(text.split()), UsageError.exit_code)
    text = f"{type(error).__name__}: {error} (run with --debug for the traceback)"
    return Failure("internal", " ".join(text.split()), 1)


if __name__ == "__main__":
    sys.exit(main())
