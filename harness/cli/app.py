"""The `modnas-hw` application: commands put together, errors turned into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

# Before anything imports onnxruntime, which otherwise sends usage data from a thread of its own.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from harness.cli import agent, baselines, benchmark, data, devices, doctor, profile, search, tune
from harness.cli.output import say
from harness.errors import ModnasHwError
from modnas.spaces import ArchitectureError
from modnas.tasks import NAMED, DamagedDataError, TaskError
from modnas.training import TrainingError

# What Typer makes of Ctrl-C.
INTERRUPTED = 130

app = typer.Typer(
    name="modnas-hw",
    help="Find and measure neural architectures for your devices.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("doctor")(doctor.doctor)
app.add_typer(devices.app, name="devices")
app.add_typer(agent.app, name="agent")
app.command("profile")(profile.profile)
app.command("tune")(tune.tune_command)
app.command("features")(data.features)
app.add_typer(data.dataset_app, name="dataset")
app.add_typer(data.predictor_app, name="predictor")
app.command("search")(search.search)
app.command("front")(search.front)
app.command("verify")(search.verify)
app.command("report")(search.report)
app.add_typer(benchmark.benchmark_app, name="benchmark")
app.command("baselines")(baselines.baselines)


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
    if isinstance(error, ModnasHwError):
        code, message = error.exit_code, str(error)
    elif isinstance(error, (ArchitectureError, TaskError)):
        code, message = 2, str(error)
    elif isinstance(error, TrainingError):
        code, message = 1, str(error)
    elif type(error).__name__ == "NoArgsIsHelpError":
        say(str(error))
        return 2
    elif hasattr(error, "format_message"):  # Click's, which Typer may carry as a copy of its own
        code, message = 2, f"{error.format_message()} (see modnas-hw --help)"
    else:
        code, message = 1, f"{type(error).__name__}: {error} (run with --debug for the traceback)"
    if isinstance(error, DamagedDataError) and len(error.problems) > NAMED:
        for problem in error.problems:  # the message names the first alone
            say(problem)
    say(f"error: {' '.join(message.split())}")
    return code


if __name__ == "__main__":
    sys.exit(main())
