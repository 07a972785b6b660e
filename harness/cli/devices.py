"""`modnas-hw devices`: the profiles and whether their devices answer."""

from __future__ import annotations

from typing import Any

import typer

from harness.cli.output import JsonOption, print_json, print_table, say
from harness.devices.registry import device_names, get_profile, is_user_profile
from harness.devices.session import DeviceSession
from harness.energy import EnergySource
from harness.errors import ModnasHwError
from harness.store import Store
from harness.tables.devices import (
    TableDevice,
    describe_tables,
    find_device,
    measurable,
    table_details,
)

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
                    profile.transport,
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
    """Start the device's agent, import its runtime, and say what was found; exit 3 if that fails."""
    with Store() as store:
        target = measurable(name, store)
    with DeviceSession(target) as session:
        document: dict[str, Any] = {
            "name": session.profile.id,
            "agent_version": session.client.agent_version,
            "backend": session.profile.backend,
            "runtime_version": session.runtime_version,
            "fingerprint": session.fingerprint,
            "inventory": session.client.inventory,
            "energy": vars(EnergySource.of(session)),
        }
    if json_output:
        print_json(document)
    else:
        print_table([(key, str(value)) for key, value in document.items()], ["field", "value"])
        energy = document["energy"]
        say(f"device {name} is ready; energy: {energy['sensor'] or energy['reason']}")
