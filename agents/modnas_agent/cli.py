"""The agent's command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from modnas_agent import __version__


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(argv)
    if options.command == "hello":
        from modnas_agent.serving.hello import hello
        from modnas_agent.wire.protocol import encode

        sys.stdout.buffer.write(encode(hello("")))
        sys.stdout.flush()
        return 0
    if not hasattr(os, "fork"):
        print("modnas_agent: measuring needs a POSIX system: there is no fork here", file=sys.stderr)
        return 3
    if options.command == "zygote":
        from modnas_agent.timing.zygote import main as zygote

        return zygote(options.backend)
    from modnas_agent.serving.server import serve

    return serve(Path(options.root), options.idle_s, options.host)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modnas_agent", description="Measures networks on this board.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("hello", help="print what this board is, and exit")
    serving = commands.add_parser("serve", help="measure what is asked for on stdin")
    serving.add_argument("--root", required=True, help="folder of the journal, the lock and the artifacts")
    serving.add_argument(
        "--idle-s", type=float, help="end after this long without a request: the host may have vanished"
    )
    serving.add_argument("--host", default="", help="who asks, for others who wait for the board")
    zygote = commands.add_parser("zygote", help="internal: a runtime that waits to be forked")
    zygote.add_argument("backend")
    return parser
