"""What the Python API has beside `Study`: spaces and devices by name, and measuring without a search."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.progress import Progress, silent
from harness.devices.energy import EnergyModel
from harness.devices.profile import DeviceProfile
from harness.devices.registry import with_options
from harness.devices.table import TableDevice, find_device, measurable
from harness.measure.arch_lists import find_space, select_architectures
from harness.measure.profile_devices import OnStatus, Profiled, profile_devices
from harness.store import Store
from harness.store.metrics import ENERGY, get_metrics
from modnas.core.source import ArchitectureSource
from modnas.spaces import Architecture, ArchitectureError, Space

# What to measure: so many random ones, `reference`, `all`, a file of strings, or the architectures.
Chosen = int | str | Path | Sequence[Architecture | str]


def space(name: str = "nasbench201", **size: Any) -> Space:
    """A search space with networks of a size, such as `space("nasbench201", channels=16, cells=5)`.

    Raises UsageError for a name or a size that there is not.
    """
    return find_space(name, **size)


def device(name: str, store: Store | None = None) -> DeviceProfile | TableDevice:
    """The profile of a device, NAME or NAME@BATCH, or an imported table. Raises UsageError, ProfileError."""
    with nullcontext(store) if store is not None else Store() as opened:
        return find_device(name, opened)


def profile(
    source: Chosen | ArchitectureSource,
    devices: str | Sequence[str],
    *,
    space: str | ArchitectureSource = "nasbench201",
    backend: str | None = None,
    quantize: str | None = None,
    per_op: bool = False,
    sessions: int = 1,
    cooldown_s: float | None = None,
    retry_failed: bool = False,
    metrics: Sequence[str] = (),
    energy: bool = False,
    energy_model: str | None = None,
    tdp_w: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    on_status: OnStatus | None = None,
    store: Store | None = None,
) -> list[Profiled]:
    """Measure architectures on devices, as `modnas-hw profile` does, and nothing twice.

    Several devices run side by side, and one that cannot be measured to its end stops no other.

    Args:
        source: a number of random architectures, `"reference"`, `"all"`, a file with one string a line,
            architectures (as objects or strings), or a source of them such as one's own models, all of which
            are measured then.
        space: where they are from: a name, a space with networks of the wanted size, or another source.
        backend, quantize, cooldown_s: instead of the profile's.
        per_op: also the time of every kind of operator; on one device.
        sessions: with 2 or more everything is measured again, and compared; on one device.
        retry_failed: measure stored failures again.
        metrics: what is wanted beside the latency, such as `peak_memory`; what needs a power sensor is
            measured where a device has one.
        energy: the same as `energy` among `metrics`.
        energy_model: `tdp`: model an energy, of the profile's thermal design power or `tdp_w` (watts).
        seed: of the random architectures and of the order.
        on_status: told several times a second how several devices stand, and at the end.

    Returns:
        One entry a device, in the order of `devices`, each once.

    Raises:
        UsageError: a name, an architecture or an option is wrong.
        DeviceUnavailableError: the only device is or goes away. Of several, see `Profiled.error`.
    """
    if isinstance(source, ArchitectureSource):
        source, space = "all", source
    sized = _sized(space)
    chosen = _architectures(source, sized, seed)
    names = [devices] if isinstance(devices, str) else list(dict.fromkeys(devices))
    if not names:
        raise UsageError("nothing to measure on: name at least one device")
    if sessions < 1:
        raise UsageError(f"--sessions {sessions}: at least 1")
    wanted = get_metrics([*metrics, *([ENERGY.name] if energy else [])])
    with nullcontext(store) if store is not None else Store() as opened:
        profiles = [measurable(name, opened) for name in names]
        targets = [with_options(one, backend, quantize, per_op).rested(cooldown_s) for one in profiles]
        models = [EnergyModel.named(energy_model, one, tdp_w) if energy_model else None for one in targets]
        found = profile_devices(
            targets,
            sized,
            chosen,
            opened,
            seed=seed,
            metrics=wanted,
            per_op=per_op,
            sessions=sessions,
            retry_failed=retry_failed,
            progress=progress or silent,
            on_status=on_status,
        )
    return [replace(one, energy_model=model) for one, model in zip(found, models, strict=True)]


def _sized(named: str | ArchitectureSource) -> ArchitectureSource:
    """A source that was given as such, or a space by its name."""
    return space(named) if isinstance(named, str) else named


def _architectures(source: Chosen, sized: ArchitectureSource, seed: int) -> list[Architecture]:
    if isinstance(source, (int, str, Path)):
        return select_architectures(str(source), sized, seed)
    try:
        found = [sized.parse(one.id if isinstance(one, Architecture) else one) for one in source]
    except ArchitectureError as error:
        raise UsageError(str(error)) from error
    if not found:
        raise UsageError("nothing to measure: give at least one architecture")
    return found
