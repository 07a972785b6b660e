"""Energy counters of processors and GPUs, in order and out of order; a new situation is a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from energy_world import IDLE_W, Situation, World, in_window, later, several, there, with_load

#: What most processors tell: 2**32 units of 61 µJ.
RANGE_J = 262143.32885
POWERCAP = "class/powercap/intel-rapl:"
UUIDS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-89aa0c41-0000-4106-c12f-000000000001")


def rapl(
    world: World,
    *,
    package: int = 0,
    called: str | None = None,
    share: float = 1.0,
    start_j: float = 1234.5,
    range_j: float = RANGE_J,
    reset_every_s: float | None = None,
    reset_in_window: float | None = None,
    reset_before_window: bool = False,
    jump_j: float = 0.0,
    update_s: float = 0.0,
    still: bool = False,
    limit_uw: int | None = None,
    **domain: Any,
) -> dict[str, Any]:
    """A domain that takes `share` of the power. `reset_in_window`: seconds into the window, once."""
    entry = f"{POWERCAP}{package}"
    folder = world.write(entry, name=called or f"package-{package}", max_energy_range_uj=int(range_j * 1e6))
    if limit_uw is not None:
        world.write(entry, constraint_0_power_limit_uw=limit_uw)
    zero = {"j": -start_j, "since_s": world.now_s, "told_s": 0.0, "jumped": 0.0}

    def tick() -> None:
        total_j = share * world.energy_j
        within_s = world.in_window_s
        if reset_every_s and world.now_s - zero["since_s"] >= reset_every_s:
            zero["j"], zero["since_s"] = total_j, world.now_s
        if reset_in_window is not None and within_s is not None and within_s >= reset_in_window:
            zero["j"] = total_j if not zero["jumped"] else zero["j"]
            zero["jumped"] = 1.0
        if jump_j and within_s is not None and within_s > 1.0 and not zero["jumped"]:
            zero["j"] -= jump_j
            zero["jumped"] = 1.0
        if reset_before_window and world.loaded and not zero["jumped"]:
            zero["j"], zero["jumped"] = total_j, 1.0
        if world.now_s - zero["told_s"] >= update_s and not (still and zero["told_s"]):
            zero["told_s"] = world.now_s
            (folder / "energy_uj").write_text(f"{int((total_j - zero['j']) % range_j * 1e6)}\n")

    tick()
    world.ticks.append(tick)
    world.write(entry, **domain)
    return {}


class Gpus:
    """The part of pynvml that is used. The network runs on GPU `busy`; another one takes a steady 90 W."""

    class NVMLError(Exception):
        pass

    def __init__(self, world: World, *, count: int = 1, busy: int = 0, **told: Any) -> None:
        self.world, self.count, self.busy = world, count, busy
        if told.pop("reload", False):
            in_window(world, self.reload)
        self.told = {"energy": True, "models": ("A", "A"), "mig": 0, "limit_mw": 70_000, **told}

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index if index < self.count else self._unknown()

    def nvmlDeviceGetUUID(self, gpu: int) -> str:  # noqa: N802
        return UUIDS[gpu]

    def nvmlDeviceGetName(self, gpu: int) -> bytes:  # noqa: N802
        return str(self.told["models"][gpu]).encode()

    def nvmlDeviceGetMigMode(self, _gpu: int) -> list[int]:  # noqa: N802
        return [self.told["mig"], 0]

    def nvmlDeviceGetEnforcedPowerLimit(self, _gpu: int) -> int:  # noqa: N802
        return self.told["limit_mw"] or self._unknown()

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: int) -> int:  # noqa: N802
        if not self.told["energy"]:
            self._unknown()
        if self.told.get("still"):
            return 77
        if gpu != self.busy:
            return int(90e3 * self.world.now_s)
        since_j = self.told.get("reload_j", 0.0)
        return int(1e3 * (self.world.energy_j - since_j) + 5e6 * (not since_j))

    def nvmlDeviceGetPowerUsage(self, _gpu: int) -> int:  # noqa: N802
        return int(self.told.get("power_mw", 1e3 * self.world.power_w))

    def reload(self) -> None:
        self.told.setdefault("reload_j", self.world.energy_j)

    def _unknown(self) -> Any:
        raise self.NVMLError("Not Supported")


def two_packages(world: World, **second: Any) -> dict[str, Any]:
    """Each takes half."""
    rapl(world, share=0.5)
    return rapl(world, package=1, share=0.5, **second)


def topology(*packages: int) -> Callable[[World], dict[str, Any]]:
    """Processors, each with the package it belongs to."""
    folder = "devices/system/cpu/cpu{}/topology"
    return several(*(there(folder.format(cpu), physical_package_id=at) for cpu, at in enumerate(packages)))


def cpu(name: str, expected: str = "", *more: Callable[[World], dict[str, Any]], **source: Any) -> Situation:
    """One package; `load_w` of the board, `max_w` of the person, the rest of `rapl`."""
    load_w, options = (
        source.pop("load_w", None),
        {key: source.pop(key) for key in ("max_w",) if key in source},
    )
    make = several(lambda world: {**rapl(world, **source), **options}, *more)
    return Situation(name, "rapl", make if load_w is None else with_load(load_w, make), expected)


def cpus(name: str, expected: str = "", *more: Callable[[World], dict[str, Any]], **second: Any) -> Situation:
    """Two packages; something is about the second."""
    return Situation(name, "rapl", several(lambda world: two_packages(world, **second), *more), expected)


def gpu(name: str, expected: str = "", visible: str | None = None, **told: Any) -> Situation:
    """A GPU; `order`: of CUDA's devices, `options`: of the sensor, the rest of `Gpus`."""
    named = {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": told.pop("order", None)}
    environment = {key: value for key, value in named.items() if value is not None}
    options = told.pop("options", {})
    return Situation(
        name, "nvml", lambda _: options, expected, environment, lambda world: Gpus(world, **told)
    )


FIRST = POWERCAP + "0"
SITUATIONS = [
    cpu("steady"),
    cpu("wraps at its range", start_j=RANGE_J - 60),
    cpu("wraps at a short range, many times", range_j=10),
    cpu("restarts every 1.7 s", "the counter was reset", reset_every_s=1.7),
    cpu("restarts every 1.7 s, short range", "the counter was reset", range_j=100, reset_every_s=1.7),
    cpu("restarts every 0.2 s", "the counter was reset", reset_every_s=0.2),
    cpu("restarts once", "at most 2000 W are plausible", reset_in_window=1.2),
    cpu("restarts between the windows", reset_before_window=True),
    cpu("stands still", "idle power: the counter stood still: 0 updates", still=True),
    cpu("is updated twice a second", "window too short: . updates", update_s=0.5),
    cpu("jumps ahead", r"rose by about .*W, and at most 2000 W", jump_j=5e4),
    cpu("range of zero", "holds 0, not a range", max_energy_range_uj=0),
    cpu("no range", "max_energy_range_uj holds 'unknown'", max_energy_range_uj="unknown"),
    cpu("counts beyond its range", "went back", reset_in_window=1.0, max_energy_range_uj=10**9),
    cpu("negative", "holds -5", later(FIRST, energy_uj=-5)),
    cpu("nonsense", "not a number", later(FIRST, energy_uj="full")),
    cpu("empty", "not a number", later(FIRST, energy_uj="")),
    cpu("disappears", "cannot read", later(FIRST, energy_uj=None)),
    cpu("far above its limit", r"60 W are plausible \(4 times the limit", load_w=500, limit_uw=15_000_000),
    cpu("a limit the person knows better", load_w=500, limit_uw=15_000_000, max_w=600.0),
    cpu("a limit that is none", limit_uw=4_095_000_000),
    cpu("a limit of zero", limit_uw=0),
    cpu("a bound that is no power", "max_w: a power in watts is needed", max_w=-1.0),
    cpu("no load", "is not above the idle power|too small to tell", load_w=IDLE_W),
    cpu("less under load", "not above the idle power", load_w=IDLE_W - 1),
    cpu("a processor without a domain", "package-0 and the board has 2 processors", topology(0, 0, 1, 1)),
    cpu("psys besides", "", lambda world: rapl(world, package=1, called="psys", share=3)),
    cpus("two packages"),
    cpus("all processors", "", topology(0, 0, 1, 1)),
    cpus("one of two wraps", start_j=RANGE_J - 30),
    cpus("one of two restarts", "the counter was reset", reset_in_window=1.0),
    cpus("two domains of one name", "two domains package-0", called="package-0"),
    gpu("one"),
    gpu("without a counter", energy=False),
    gpu("a limit that is not told", limit_mw=0),
    gpu("the second is visible", visible="1", count=2, busy=1),
    gpu("the second comes first", visible="1,0", count=2, busy=1),
    gpu("by its UUID", visible=UUIDS[1], count=2, busy=1),
    gpu("by the beginning of its UUID", visible="GPU-89AA", count=2, busy=1),
    gpu("by a beginning of both", "CUDA sees 0 of 2 GPUs", visible="GPU-89", count=2),
    gpu("none is visible", "CUDA sees 0 of 2 GPUs", visible="", count=2),
    gpu("minus one", "CUDA sees 0 of 1 GPUs", visible="-1"),
    gpu("NoDevFiles", "CUDA sees 0 of 1 GPUs", visible="NoDevFiles"),
    gpu("one that is not there", "CUDA sees 0 of 2 GPUs", visible="2,0", count=2),
    gpu("what follows an invalid one", visible=" 1, 9,0", count=2, busy=1),
    gpu("one twice", "names a GPU twice", visible="1,1", count=2),
    gpu("a part", "names a part of a GPU", visible="MIG-8932f937-d72c-4106-c12f-20bd9faed9f6"),
    gpu("divided", "is divided", mig=1),
    gpu("different ones", "set CUDA_DEVICE_ORDER=PCI_BUS_ID", visible="1", count=2, models=("A", "B")),
    gpu("different ones, none listed", "by their speed", count=2, models=("A", "B")),
    gpu("different ones by UUID", visible=UUIDS[1], count=2, busy=1, models=("A", "B")),
    gpu("different ones by bus", visible="1", order="PCI_BUS_ID", count=2, busy=1, models=("A", "B")),
    gpu("an index CUDA does not have", "no GPU 1", visible="1", count=2, options={"index": 1}),
    gpu("the driver is reloaded", "went back from .* J: it was reset", reload=True),
    gpu("its counter stands still", "the counter stood still", still=True),
    gpu("a power of all ones", "plausible", energy=False, power_mw=2**32 - 1),
]


@pytest.mark.parametrize(
    "situation", SITUATIONS, ids=lambda situation: f"{situation.sensor} {situation.name}"
)
def test_a_counter_tells_the_energy_or_why_not(
    situation: Situation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation.check(World(tmp_path), monkeypatch)
