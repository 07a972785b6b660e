"""`modnas-hw agent`: the agent and its runtime on a board."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import modnas_agent
import typer
from modnas_agent.folder import ARCHIVE

from harness.backends import backend_names, get_backend
from harness.boards.agent_folder import told
from harness.boards.board import Board, install_command
from harness.boards.install import install, uninstall
from harness.cli.options import DeviceOption
from harness.cli.output import JsonOption, print_json, say
from harness.core.errors import UsageError
from harness.devices.table import measurable
from harness.store import Store

app = typer.Typer(help="The agent on a board.", no_args_is_help=True, rich_markup_mode=None)


BackendOption = Annotated[
    str | None,
    typer.Option("--backend", help=f"Instead of the profile's: {', '.join(backend_names())}."),
]


def _board(device: str, backend: str | None = None) -> Board:
    with Store() as store:
        profile = measurable(device, store).changed(backend)
    if profile.ssh is None:
        raise UsageError(f"device {device} is this machine: there is nothing to install or remove")
    return Board(profile)


@app.command("install")
def install_agent(
    device: DeviceOption,
    offline: Annotated[
        bool, typer.Option("--offline", help="Bring the runtime from here; the board needs no network.")
    ] = False,
    backend: BackendOption = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE==VERSION",
            help="Take this version, now and later, e.g. onnxruntime==1.20.1; PACKAGE alone: the newest that "
            "fits. Several times for several packages.",
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Install or upgrade the agent and a runtime on a board; does nothing when they are there."""
    with _board(device, backend) as board:
        done = install(board, offline, say, runtime or None)
        name = get_backend(board.profile.backend).runtime().name
    if json_output:
        print_json({"changed": done.changed, **asdict(done.manifest)})
    else:
        how = "installed" if done.changed else "was installed already"
        say(f"{device}: agent {modnas_agent.__version__}, {name} {done.manifest.runtime_version} {how}")


@app.command()
def status(device: DeviceOption, backend: BackendOption = None, json_output: JsonOption = False) -> None:
    """What is installed on a board for a backend."""
    with _board(device, backend) as board:
        manifest, files = board.manifest(), board.folder.entries() or {}
    agents = sorted(name for name in files if ARCHIVE.fullmatch(name))
    if json_output:
        print_json({"installed": asdict(manifest) if manifest else None, "agents": agents})
    elif manifest is None:
        say(f"{device}: nothing is installed; {install_command(board.profile)}")
    else:
        name = get_backend(board.profile.backend).runtime().name
        say(f"{device}: {manifest.python}, {name} {manifest.runtime_version} ({manifest.mode})")


@app.command("uninstall")
def uninstall_agent(device: DeviceOption, json_output: JsonOption = False) -> None:
    """Remove everything of ours from a board, and nothing else."""
    with _board(device) as board:
        done, folder = uninstall(board), board.directory
    if json_output:
        names, count = (list(done.names), done.count) if done else ([], 0)
        print_json({"removed": folder if done else None, "left": names, "left_count": count})
    elif done is None:
        say(f"{device}: nothing was installed")
    elif done.count:
        left = told(done.names, done.count)
        say(f"{device}: removed the agent from {folder}; left there, not the agent's: {left}")
    else:
        kept = " (an empty folder is left)" if done.there else ""
        say(f"{device}: removed {folder}{kept}")
