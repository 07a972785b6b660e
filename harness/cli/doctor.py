"""`modnas-hw doctor`: what works on this machine."""

from __future__ import annotations

from typing import Any

import typer

from harness.cli.output import JsonOption, print_json, print_table
from harness.doctor import checkup


def doctor(json_output: JsonOption = False) -> None:
    """Check packages, the store, the local agent and its runtimes."""
    findings = checkup()
    if json_output:
        document: list[dict[str, Any]] = [finding.__dict__ for finding in findings]
        print_json({"checks": document, "ok": all(f.ok or not f.required for f in findings)})
    else:
        rows = [(f.name, "ok" if f.ok else "FAILED" if f.required else "absent", f.detail) for f in findings]
        print_table(rows, ["check", "state", "detail"])
    if any(f.required and not f.ok for f in findings):
        raise typer.Exit(1)
