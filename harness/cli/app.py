"""The `modnas-hw` application: commands put together, errors turned into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import typer

# Before anything imports onnxruntime, which otherwise sends usage data from a thread of its own.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from harness.cli.lazy import Entry, LazyGroup
from harness.cli.output import say
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
    try:
        result = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
        if result == INTERRUPTED:
            say("interrupted; what was finished is kept")
        return int(result or 0)
    except Exception as error:
        if os.environ.get("MODNAS_DEBUG"):
            traceback.print_exc()
        return _fail(error)


def _fail(error: Exception) -> int:
    if isinstance(error, ModnasError):
        code, message = error.exit_code, str(error)
        for line in error.details:
            say(line)
    elif type(error).__name__ == "NoArgsIsHelpError":
        say(str(error))
        return 2
    elif hasattr(error, "format_message"):  # Click's, which Typer may carry as a copy of its own
        code, message = 2, f"{error.format_message()} (see modnas-hw --help)"
    else:
        code, message = 1, f"{type(error).__name__}: {error} (run with --debug for the traceback)"
    say(f"error: {' '.join(message.split())}")
    return code


if __name__ == "__main__":
    sys.exit(main())
