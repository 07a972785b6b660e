"""`modnas-hw devices`: the profiles and whether their devices answer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.boards.adding import add_board, remove_profile, ssh_settings
from harness.cli.output import JsonOption, print_json, print_table, say
from harness.core.errors import ModnasHwError
from harness.devices.registry import device_names, get_profile, is_user_profile
from harness.devices.table import (
    TableDevice,
    check_no_table,
    describe_tables,
    find_device,
    measurable,
    table_details,
)
from harness.store import Store

app = typer.Typer(help="Device profiles.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_devices(json_output: JsonOption = False) -> None:
    """List all profiles; a broken one is listed with what is wrong."""
    rows: list[tuple[str, str, str, str, str, int | None, str]] = []
    for name in device_names():
        source = "user" if is_user_profile(name) else "shipped"
        try:
            profile = get_profile(name)
            rows.append(
                (
                    name,
                    "profile",
                    source,
                    "ssh" if profile.ssh else "local",
                    profile.backend,
                    profile.batch,
                    profile.description,
                )
            )
        except ModnasHwError as error:
            rows.append((name, "profile", source, "-", "-", None, f"broken: {error}"))
    with Store() as store:
        rows += [(name, "table", "import", "-", "-", None, text) for name, text in describe_tables(store)]
    keys = ["name", "kind", "source", "transport", "backend", "batch", "description"]
    if json_output:
        print_json({"devices": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        print_table(rows, keys)


@app.command()
def show(name: str, json_output: JsonOption = False) -> None:
    """Show one profile with all its defaults filled in."""
    with Store() as store:
        target = find_device(name, store)
        if isinstance(target, TableDevice):
            content: dict[str, Any] = {"name": name, "kind": "table", "tables": table_details(store, name)}
        else:
            content = target.model_dump()
    if json_output:
        print_json(content)
        return
    rows = []
    for key, value in content.items():
        if isinstance(value, dict):
            rows += [(f"{key}.{inner}", str(item)) for inner, item in value.items()]
        else:
            rows.append((key, str(value)))
    print_table(rows, ["field", "value"])


@app.command()
def check(name: str, json_output: JsonOption = False) -> None:
    """Walk from the network to the runtime, and name the first step that fails; exit 3 if one does."""
    from harness.measure.checks import check_device  # it exports a network: PyTorch takes seconds to import

    with Store() as store:
        target = measurable(name, store)
    document = check_device(target, lambda step: say(f"ok  {step.name}: {step.found}"))
    if json_output:
        print_json(document)
    else:
        print_table([(key, str(value)) for key, value in document.items()], ["field", "value"])
        energy = document["energy"]
        say(f"device {name} is ready; energy: {energy['sensor'] or energy['reason']}")


@app.command()
def add(
    name: str,
    ssh: Annotated[str, typer.Option("--ssh", help="user@host or user@host:port.")],
    identity_file: Annotated[str | None, typer.Option("--identity-file", help="Private key.")] = None,
    known_hosts: Annotated[str | None, typer.Option("--known-hosts", help="File of host keys.")] = None,
    jump: Annotated[str | None, typer.Option("--jump", help="Hosts on the way, a,b.")] = None,
    python: Annotated[str | None, typer.Option("--python", help="Interpreter on the board.")] = None,
    directory: Annotated[str | None, typer.Option("--directory", help="The agent's folder there.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile of that name.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Ask a board over SSH what it is, and write a profile for it."""
    given = {"identity_file": identity_file, "known_hosts": known_hosts, "jump": jump}
    settings = ssh_settings(ssh, **given, python=python, directory=directory)
    with Store() as store:
        check_no_table(name, store)
    made = add_board(name, settings, force)
    if json_output:
        print_json(
            {"path": str(made.path), "profile": made.profile.model_dump(), "inventory": made.inventory}
        )
    else:
        say(f"{name}: {made.profile.description}")
        say(f"written to {made.path}; next: modnas-hw agent install --device {name}")


@app.command()
def remove(name: str, json_output: JsonOption = False) -> None:
    """Delete a profile of your own. What was measured stays, and so does what is installed on the board."""
    path = remove_profile(name)
    if json_output:
        print_json({"removed": str(path)})
    else:
        say(f"removed {path}")
