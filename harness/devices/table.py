"""Table devices: their numbers come from an imported table, and nothing can be measured on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.core.errors import UsageError
from harness.devices.profile import DeviceProfile
from harness.devices.registry import device_names, get_profile, is_user_profile
from harness.store import ImportedTable, Store, content_key

if TYPE_CHECKING:  # naming devices needs no PyTorch
    from modnas.spaces import Space


@dataclass(frozen=True)
class TableDevice:
    """A device that exists as imported tables only. `id`: its name, as that of a profile."""

    id: str


@dataclass(frozen=True)
class StoredTable:
    """What all imports together say of one metric on one device.

    Args:
        variant: size of the networks that the values are of.
        sources: where the imports came from, oldest first.
        values: by canonical string of the architecture, in the metric's unit.
    """

    device: str
    variant: str
    sources: tuple[str, ...]
    values: dict[str, float]

    @cached_property
    def sha256(self) -> str:
        """What identifies the values, whatever files and imports they came from."""
        return content_key({"variant": self.variant, "values": self.values})

    def changes_since(self, before: StoredTable) -> str:
        """What is different from an earlier state, in words."""
        if self.variant != before.variant:
            return f"its values are of networks of size {self.variant}, not {before.variant}"
        changed = [arch for arch, value in before.values.items() if self.values.get(arch, value) != value]
        new = len(self.values.keys() - before.values.keys())
        parts = []
        if changed:
            parts.append(f"{len(changed):,} of {len(before.values):,} values changed: {changed[0]}")
        if new:
            parts.append(f"{new:,} values are new")
        return "; ".join(parts)


def find_device(spec: str, store: Store) -> DeviceProfile | TableDevice:
    """The device for a name: an imported table, else a profile.

    A table hides a shipped profile of the same name: whoever imported it said so. Raises UsageError for an
    unknown name, and for one that is both a table and a profile of the user's own, or of this machine.
    """
    return TableDevice(spec) if is_table(spec, store) else get_profile(spec, store.table_devices())


def is_table(spec: str, store: Store) -> bool:
    """Whether a name is that of an imported table now. Raises UsageError where it is ambiguous."""
    if spec not in store.table_devices():
        return False
    check_free(spec, is_there=True)
    return True


def check_free(name: str, is_there: bool = False) -> None:
    """Raise UsageError when a table device, new or there, cannot have this name, because a profile has it."""
    base = name.partition("@")[0]
    if base in device_names() and (is_user_profile(base) or get_profile(base).transport == "local"):
        hint = f", or remove the table with: modnas-hw dataset remove --device {name}" if is_there else ""
        raise UsageError(
            f"device {name!r} is ambiguous: it names the profile {base} and a table; "
            f"give one another name{hint}"
        )


def check_hides_none(name: str, store: Store) -> None:
    """Raise UsageError when a new table of this name would hide a shipped profile that is seen now."""
    base = name.partition("@")[0]
    if base in device_names() and name not in store.table_devices():
        raise UsageError(
            f"device {name!r} is a shipped profile, which a table of that name would hide; give the table "
            "another name, or let it hide the profile with --replace"
        )


def check_no_table(name: str, store: Store) -> None:
    """Raise UsageError when a profile of this name would be ambiguous, because a table has it."""
    tables = [table for table in store.table_devices() if table.partition("@")[0] == name]
    if tables:
        raise UsageError(
            f"{tables[0]} is an imported table; give the profile another name, or remove the table with: "
            f"modnas-hw dataset remove --device {tables[0]}"
        )


def remove_tables(
    store: Store, device: str, space: str | None, metric: str | None, variant: str | None
) -> list[dict[str, Any]]:
    """Put a device's tables out of force, all or those of a space, a metric and a network size.

    Returns:
        What they held, one entry a space, network size and metric.

    Raises:
        UsageError: there are none.
    """
    rows = [row for row in store.tables(device, space, metric) if variant in (None, row.variant)]
    if not rows:
        wanted = " ".join(part for part in (metric, space, variant) if part)
        there = [
            f"{entry['metric']} {entry['space']} {entry['variant']}" for entry in table_details(store, device)
        ]
        known = ", ".join(store.table_devices()) or "none"
        have = f"it has: {', '.join(there)}" if there else f"devices with one: {known}"
        raise UsageError(f"device {device!r} has no imported table{wanted and f' of {wanted}'}; {have}")
    store.remove_tables(*rows)
    return _details(rows)


def measurable(spec: str, store: Store) -> DeviceProfile:
    """The profile of a device that can be measured. Raises UsageError for a table device too."""
    device = find_device(spec, store)
    if isinstance(device, TableDevice):
        raise UsageError(
            f"device {spec} is an imported table, so nothing can be measured on it; add a profile of another "
            "name for the hardware itself"
        )
    return device


def stored_table(store: Store, device: str, space: Space, metric: str) -> StoredTable | None:
    """The table of a table device, None for every other device; empty when it has none for this metric.

    A table of networks of the space's own size is preferred; otherwise the only one there is counts, at its
    own size. Values of different sizes are never mixed. Raises UsageError when there are several others.
    """
    rows = store.tables(device, space.name, metric)
    if not rows:
        known = device in store.table_devices()
        return StoredTable(device, space.variant, (), {}) if known else None
    return _in_force(rows, device, space, metric)


def earlier_table(store: Store, device: str, space: Space, metric: str, sha256: str) -> StoredTable | None:
    """The state of a table with this identity, as one of its imports left it; None if there was none."""
    rows = store.tables(device, space.name, metric)
    states = (_in_force(rows[:count], device, space, metric) for count in range(len(rows), 0, -1))
    return next((state for state in states if state.sha256 == sha256), None)


def _in_force(rows: list[ImportedTable], device: str, space: Space, metric: str) -> StoredTable:
    variants = list(dict.fromkeys(row.variant for row in rows))
    variant = space.variant if space.variant in variants else variants[0]
    if variant != space.variant and len(variants) > 1:
        raise UsageError(
            f"device {device}: no table of {metric} for {space.name} {space.variant}, and several for other "
            f"sizes: {', '.join(variants)}; choose one with --set"
        )
    return _merged(row for row in rows if row.variant == variant)


def table_origin(store: Store, device: str, space: Space, *metrics: str) -> dict[str, Any] | None:
    """What a result that rests on a device's tables says of them; None for other devices.

    `variant` is the size of the networks that the values are of, which need not be the space's.
    """
    tables = [table for metric in metrics if (table := stored_table(store, device, space, metric))]
    if not tables:
        return None
    return {
        "source": "table",
        "variant": ", ".join(dict.fromkeys(table.variant for table in tables)),
        "files": [source for table in tables for source in table.sources],
    }


def _merged(rows: Iterable[ImportedTable]) -> StoredTable:
    chosen = list(rows)
    values: dict[str, float] = {}
    for row in chosen:
        values.update(row.entries)
    sources = tuple(dict.fromkeys(row.source for row in chosen))
    return StoredTable(chosen[0].device, chosen[0].variant, sources, values)


def table_note(device: str, origin: dict[str, Any], space: Space) -> str:
    """One line for a person about a result that rests on a table."""
    size = origin["variant"]
    other = "" if size == space.variant else f", not of {space.variant}"
    return f"{device}: an imported table, not measured here; its values are of networks of size {size}{other}"


def table_details(store: Store, device: str) -> list[dict[str, Any]]:
    """What the tables of a device hold, one entry a space, network size and metric."""
    return _details(store.tables(device))


def _details(tables: Iterable[ImportedTable]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str, str], list[ImportedTable]] = {}
    for row in tables:
        groups.setdefault((row.space, row.variant, row.metric, row.unit), []).append(row)
    details = []
    for (space, variant, metric, unit), rows in groups.items():
        merged = _merged(rows)
        entry = {"space": space, "variant": variant, "metric": metric, "unit": unit}
        details.append({**entry, "architectures": len(merged.values), "files": list(merged.sources)})
    return details


def describe_tables(store: Store) -> list[tuple[str, str]]:
    """Every table device with one line about it."""
    described = []
    for name in store.table_devices():
        parts = [
            f"{entry['metric']} of {entry['architectures']} {entry['space']} {entry['variant']} networks"
            for entry in table_details(store, name)
        ]
        hides = "; hides the profile of that name" if name in device_names() else ""
        described.append((name, f"imported {', '.join(parts)}{hides}"))
    return described
