"""Power monitors of boards and batteries, in order and out of order; a new situation is a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from energy_world import IDLE_W, Situation, World, later, several, there, with_load

CHIPS, SUPPLIES = "class/hwmon/", "class/power_supply/"
Make = Callable[[World], dict[str, Any]]


def ina(
    world: World, *, kind: str = "ina226", sign: int = 1, unit: float = 1e6, power: bool = True, **more: Any
) -> dict[str, Any]:
    """A chip at 12 V; `unit`: of `power1_input` in a watt. Without `power`, voltage and current alone."""
    folder = f"{CHIPS}hwmon3"
    world.write(folder, name=kind, update_interval=35, **more)

    def tick() -> None:
        milliamperes = round(sign * world.power_w / 12 * 1e3, 3)
        world.write(folder, in1_input=12_000, curr1_input=int(milliamperes))
        if power:
            world.write(folder, power1_input=int(world.power_w * unit))

    tick()
    world.ticks.append(tick)
    return {}


def jetson(world: World, *, sign: int = 1, **more: Any) -> dict[str, Any]:
    folder = f"{CHIPS}hwmon4"
    world.write(folder, name="ina3221", in1_label="VDD_IN", **more)

    def tick() -> None:
        world.write(folder, in1_input=5_000, curr1_input=int(sign * world.power_w / 5 * 1e3))

    tick()
    world.ticks.append(tick)
    return {}


def battery(
    world: World, name: str = "BAT0", share: float = 1.0, status: str = "Discharging", **more: Any
) -> dict[str, Any]:
    folder, world.tick_s = f"{SUPPLIES}{name}", 0.5
    world.write(folder, type="Battery", status=status, **more)

    def tick() -> None:
        world.write(folder, power_now=int(share * world.power_w * 1e6))

    tick()
    world.ticks.append(tick)
    return {}


def gauge(world: World, *, per_ampere: float = 1e6, slow_s: float = 0.0) -> dict[str, Any]:
    """A battery that tells current and voltage, its current following over `slow_s`."""
    folder, world.tick_s = f"{SUPPLIES}battery", 0.5
    world.write(folder, type="Battery", status="Discharging", voltage_now=4_000_000)
    state = {"a": world.power_w / 4, "at_s": world.now_s}

    def tick() -> None:
        share = min(1.0, (world.now_s - state["at_s"]) / slow_s) if slow_s else 1.0
        state["a"] += share * (world.power_w / 4 - state["a"])
        state["at_s"] = world.now_s
        world.write(folder, current_now=-int(state["a"] * per_ampere))

    tick()
    world.ticks.append(tick)
    return {}


def rails(world: World) -> str:
    """What `vcgencmd pmic_read_adc` answers, three rails of it."""
    return (
        f"  VDD_CORE_A current(7)={world.power_w - 2:.8f}A\n  3V3_SYS_A current(1)=0.5000A\n"
        "  VDD_CORE_V volt(15)=1.00000000V\n  3V3_SYS_V volt(9)=4.00000000V\n"
    )


def ina_(name: str, expected: str = "", *more: Make, load_w: float = 20.0, **source: Any) -> Situation:
    """An INA2xx; the rest of `ina`."""
    return Situation(
        name, "ina2xx", with_load(load_w, several(lambda world: ina(world, **source), *more)), expected
    )


def jetson_(name: str, expected: str = "", **source: Any) -> Situation:
    """A Jetson; the rest of `jetson`."""
    return Situation(name, "jetson", lambda world: jetson(world, **source), expected)


def pi(name: str, expected: str = "", *replaced: str, at_s: float = -1.0) -> Situation:
    """A Raspberry Pi 5, in whose answer a text is `replaced` by another from `at_s` in the window on."""

    def answer(world: World) -> str:
        text = rails(world)
        return text.replace(*replaced) if replaced and (world.in_window_s or 0.0) > at_s else text

    return Situation(name, "pmic", lambda _: {}, expected, command=answer)


def laptop(name: str, expected: str = "", *more: Make, load_w: float = 20.0, **options: Any) -> Situation:
    """BAT0 discharges, and there is more."""
    return laptops(name, expected, battery, *more, load_w=load_w, **options)


def laptops(name: str, expected: str, *batteries: Make, load_w: float = 20.0, **options: Any) -> Situation:
    """These batteries."""
    made = with_load(load_w, several(*batteries, lambda _: options))
    return Situation(name, "battery", made, expected)


def phone(name: str, expected: str = "", *more: Make, options: Any = None, **source: Any) -> Situation:
    """A gauge of current and voltage; the rest of `gauge`."""
    made = several(lambda world: {**gauge(world, **source), **(options or {})}, *more)
    return Situation(name, "battery", made, expected)


def second(share: float, status: str, **files: Any) -> Make:
    """BAT1 tells `share` of the power."""
    return lambda world: battery(world, "BAT1", share, status, **files)


def first(share: float, status: str) -> Make:
    """BAT0 tells `share` of the power."""
    return lambda world: battery(world, "BAT0", share, status)


CHIP = CHIPS + "hwmon3"
SITUATIONS = [
    ina_("power"),
    ina_("voltage and current alone", power=False),
    ina_("reversed", "power is negative .*shunt is reversed", sign=-1, power=False),
    ina_("reversed, power without a sign", "shunt is reversed", sign=-1),
    ina_("power in mW", "power1_input tells", unit=1e3),
    ina_("beyond its shunt", "end of its range, 4.1 A", later(CHIP, curr1_input=4096), shunt_resistor=20_000),
    ina_("within its shunt", shunt_resistor=20_000),
    ina_("a glitch", "a reading of 6.554e.04 W", later(CHIP, power1_input=65_535_000_000)),
    ina_("one value for ever", "stood still at 5 W, idle and under load", load_w=IDLE_W),
    ina_("less under load", "not above the idle power", load_w=IDLE_W - 1),
    ina_("an internal shunt", kind="ina260"),
    ina_("disappears", "cannot read", later(CHIP, power1_input=None)),
    jetson_("its input"),
    jetson_("reversed", "shunt is reversed", sign=-1),
    jetson_("beyond its shunt", "end of its range, 3.28 A", shunt1_resistor=50_000),
    pi("its rails"),
    pi("a rail gets lost", "other rails than before: .*3V3_SYS", "3V3_SYS", "1V8", at_s=1.0),
    pi("no rail of the cores", "no current of VDD_CORE", "VDD_CORE", "HDMI"),
    pi("a number that is none", "no voltage of VDD_CORE", "1.00000000V", "1.0.0V"),
    pi("more than its supply gives", "its supply gives 27 W", "4.00000000V", "400.0V"),
    laptop("one battery"),
    laptops("two that discharge", "", first(0.3, "Discharging"), second(0.7, "Discharging")),
    laptop("the other is Unknown", "BAT1 is Unknown while another is discharging", second(0, "Unknown")),
    laptops("the first is Unknown", "BAT0 is Unknown", first(0, "Unknown"), second(1, "Discharging")),
    laptops("the one that is named", "", first(0, "Unknown"), second(1, "Discharging"), supply="BAT1"),
    laptop("one that is not there", "no battery BAT7", supply="BAT7"),
    laptop("the other is full", "", second(0, "Full")),
    laptop("the other gives all the same", "BAT1 is Not charging while", second(0.2, "Not charging")),
    laptop("the other is charged", "not discharging", second(0.2, "Charging")),
    laptop("an empty slot", "", second(0, "Unknown", present=0)),
    laptop("plugged in", "plugged in .AC is online", there(SUPPLIES + "AC", type="Mains", online=1)),
    laptop("not plugged in", "", there(SUPPLIES + "AC", type="Mains", online=0)),
    laptop("plugged in meanwhile", "not discharging", later(SUPPLIES + "BAT0", status="Charging")),
    laptop("no power at all", "at least 0.02 W are plausible", later(SUPPLIES), load_w=0.001),
    phone("a phone"),
    phone("a phone that tells mA", "current_unit", per_ampere=1e3),
    phone("a unit that is mistaken", "at most 300 W are plausible", options={"current_unit": "mA"}),
    phone("turns round", "changed its sign", later(SUPPLIES + "battery", current_now=100_000)),
    phone("follows over a minute", "window under load begins at .*idle 5 W", slow_s=60),
]


@pytest.mark.parametrize(
    "situation", SITUATIONS, ids=lambda situation: f"{situation.sensor} {situation.name}"
)
def test_a_monitor_tells_the_energy_or_why_not(
    situation: Situation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation.check(World(tmp_path), monkeypatch)
