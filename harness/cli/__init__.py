"""The command line. One file a group of commands; none has logic of its own."""

from harness.cli.program import main

__all__ = ["main"]
