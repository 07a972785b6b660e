"""`modnas-hw agent`: the agent and its runtime on a board."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import modnas_agent
import typer

from harness.cli.options import DeviceOption
from harness.cli.output import JsonOption, print_json, say
from harness.devices.board import Board
from harness.devices.install import Say, install, uninstall
from harness.devices.registry import get_profile
from harness.errors import UsageError

app = typer.Typer(help="The agent on a board.", no_args_is_help=True, rich_markup_mode=None)


def _board(device: str) -> Board:
    profile = get_profile(device)
    if profile.ssh is None:
        raise UsageError(f"device {device} is this machine: there is nothing to install or remove")
    return Board(profile)


@app.command("install")
def install_agent(
    device: DeviceOption,
    offline: Annotated[
        bool, typer.Option("--offline", help="Bring the runtime from here; the board needs no network.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Install or upgrade the agent and ONNX Runtime on a board; does nothing when they are there."""
    tell: Say = say
    with _board(device) as board:
        done = install(board, offline, tell)
    if json_output:
        print_json({"changed": done.changed, **asdict(done.manifest)})
    else:
        how = "installed" if done.changed else "was installed already"
        say(f"{device}: agent {modnas_agent.__version__}, ONNX Runtime {done.manifest.runtime_version} {how}")


@app.command()
def status(device: DeviceOption, json_output: JsonOption = False) -> None:
    """What is installed on a board."""
    with _board(device) as board:
        manifest, files = board.manifest(), board.connection.sizes(board.directory)
    agents = sorted(name for name in files if name.startswith("modnas_agent-"))
    if json_output:
        print_json({"installed": asdict(manifest) if manifest else None, "agents": agents})
    elif manifest is None:
        say(f"{device}: nothing is installed; modnas-hw agent install --device {device}")
    else:
        say(f"{device}: {manifest.python}, ONNX Runtime {manifest.runtime_version} ({manifest.mode})")


@app.command("uninstall")
def uninstall_agent(device: DeviceOption, json_output: JsonOption = False) -> None:
    """Remove everything of ours from a board."""
    with _board(device) as board:
        removed, folder = uninstall(board), board.directory
    if json_output:
        print_json({"removed": folder if removed else None})
    else:
        say(f"{device}: " + (f"removed {folder}" if removed else "nothing was installed"))
