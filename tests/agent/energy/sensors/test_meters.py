"""Logs of external meters, in order and out of order; a new situation is a line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from energy_world import IDLE_W, Situation, World, in_window, several, with_load

HOUR_S = 3600.0


def log(
    world: World,
    *,
    period_s: float = 0.1,
    stamp: Callable[[float], object] = lambda unix_s: f"{unix_s:.6f}",
    behind_s: float = 0.0,
    late_s: float = 0.0,
    block_s: float = 0.0,
    until: Callable[[World], bool] = lambda world: True,
    row: Callable[[object, float], str] = lambda stamp, power_w: f"{stamp},{power_w}\n",
    last: str = "",
    **options: Any,
) -> dict[str, Any]:
    """A meter whose clock is `behind_s`, its rows written `late_s` late or in blocks of `block_s`."""
    path = Path(world.root) / "meter.csv"
    world.root.mkdir(parents=True, exist_ok=True)
    old = [world.time() - n * period_s for n in (3, 2, 1)]
    path.write_text("time,power_w\n" + "".join(row(stamp(at_s - behind_s), world.idle_w) for at_s in old))
    state: dict[str, Any] = {"due_s": world.now_s, "waiting": [], "flush_s": world.now_s}

    def tick() -> None:
        while world.now_s >= state["due_s"]:
            taken_s = state["due_s"]
            text = row(stamp(taken_s + world.wall_offset_s - behind_s), world.power_w)
            state["waiting"].append((taken_s + late_s, text))
            state["due_s"] += period_s
        if block_s and world.now_s < state["flush_s"] + block_s:
            return
        state["flush_s"] = world.now_s
        ready = [text for due_s, text in state["waiting"] if due_s <= world.now_s + 1e-9]
        state["waiting"] = state["waiting"][len(ready) :]
        if until(world):
            with path.open("a") as file:
                file.write("".join(ready))
                if last and world.in_window_s:
                    file.write(last)

    world.ticks.append(tick)
    return {"path": str(path), **options}


def iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, timezone.utc).isoformat(timespec="microseconds")


def iso_without_zone(unix_s: float) -> str:
    return iso(unix_s)[: -len("+00:00")]


def finer(factor: float) -> Callable[[float], object]:
    """Time in a smaller unit."""
    return lambda unix_s: int(factor * unix_s)


def times(factor: float) -> Callable[[object, float], str]:
    """Rows with the power in another unit, or of another sign."""
    return lambda stamp, power_w: f"{stamp},{factor * power_w}\n"


def twice(stamp: object, power_w: float) -> str:
    return 2 * f"{stamp},{power_w}\n"


def with_commas(stamp: object, power_w: float) -> str:
    return f"{stamp},{int(power_w)},25\n"


def always(stamp: object, _power_w: float) -> str:
    return f"{stamp},7.5\n"


def noisy(spread_w: float) -> Callable[[object, float], str]:
    """Rows whose power is off by `spread_w`, down, not, and up in turn."""
    count = [0]

    def row(stamp: object, power_w: float) -> str:
        count[0] += 1
        return f"{stamp},{power_w + spread_w * (count[0] % 3 - 1)}\n"

    return row


def before_the_middle() -> Callable[[World], bool]:
    """False from the middle of the window on, for ever."""
    over: list[bool] = []

    def still(world: World) -> bool:
        if (world.in_window_s or 0.0) > 1.0:
            over.append(True)
        return not over

    return still


def never(_world: World) -> bool:
    return False


def clock_set(by_s: float) -> Callable[[World], dict[str, Any]]:
    """The board's clock is set in the middle of the window."""

    def make(world: World) -> dict[str, Any]:
        offset_s = world.wall_offset_s + by_s
        in_window(world, lambda: setattr(world, "wall_offset_s", offset_s))
        return {}

    return make


def meter(name: str, expected: str = "", *more: Any, load_w: float = 20.0, **source: Any) -> Situation:
    """A log; the rest of `log` and of the sensor's options."""
    return Situation(
        name, "csv", with_load(load_w, several(lambda world: log(world, **source), *more)), expected
    )


SITUATIONS = [
    meter("seconds"),
    meter("dates", stamp=iso),
    meter("one reading a second", period_s=1.0),
    meter("milliseconds", "time is in milliseconds", stamp=finer(1e3)),
    meter("microseconds", "time is in microseconds", stamp=finer(1e6)),
    meter("nanoseconds", "time is in nanoseconds", stamp=finer(1e9)),
    meter("no zone", "not a reading: .* no zone", stamp=iso_without_zone),
    meter("a day behind", "24 hours behind the board's clock", behind_s=24 * HOUR_S),
    meter("an hour behind", "60 minutes behind .*summer time", behind_s=HOUR_S),
    meter("two hours ahead", "2 hours ahead of the board's clock.*time zone", behind_s=-2 * HOUR_S),
    meter("an offset that is told", behind_s=2 * HOUR_S, clock_offset_s=2 * HOUR_S),
    meter("an offset that is none", "clock_offset_s: seconds are needed", clock_offset_s=float("nan")),
    meter("a little behind", behind_s=0.45),
    meter("a little more behind", "idle ends at .*clock_offset_s", behind_s=0.8),
    meter("a little ahead", behind_s=-0.45),
    meter("two seconds behind", "clock_offset_s", behind_s=2.0),
    meter(
        "a day old", "no row since it was opened, its last row is 24 hours", behind_s=24 * HOUR_S, until=never
    ),
    meter("stands still in the window", "stands still, its last row is", until=before_the_middle()),
    meter("two seconds late", late_s=2.0),
    meter("in blocks of two seconds", block_s=2.0),
    meter("in blocks of a minute", "writing each row at once", block_s=60.0),
    meter("each row twice", row=twice),
    meter("a row that goes back", "time goes back", last="1,5\n"),
    meter("a row cut short", "not a reading", last="17500\n"),
    meter("nan", "not finite", last="1.76e9,nan\n"),
    meter("infinite", "not finite", last="1.76e9,inf\n"),
    meter("decimal commas", "decimal point", row=with_commas),
    meter("milliwatts", "is power_w in mW", row=times(1e3)),
    meter("swapped leads", "negative .*leads are swapped", row=times(-1)),
    meter("one power for ever", "stood still at 7.5 W", row=always),
    meter("noise that hides the load", "too small to tell|not above", load_w=IDLE_W + 0.05, row=noisy(2.0)),
    meter("noise that hides little", row=noisy(0.5)),
    meter("the board's clock is set", "the board's clock was set by .5.00 s", clock_set(5.0)),
]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_a_meter_tells_the_energy_or_why_not(
    situation: Situation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation.check(World(tmp_path), monkeypatch)


@pytest.mark.parametrize("period_s", [0.1, 0.5])
def test_clocks_that_differ_do_no_harm_or_are_noticed(
    period_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = 0
    for tenths in range(-30, 31, 3):
        world = World(tmp_path / str(tenths))
        found = meter("", period_s=period_s, behind_s=tenths / 10).measure(world, monkeypatch)
        told += "net_mj" in found
        if "net_mj" in found:
            net_mj = 1e3 * (world.load_w - world.idle_w) * found["window_s"] / found["n"]
            assert found["net_mj"] == pytest.approx(net_mj, rel=0.06), tenths
        else:
            assert "clock" in found["reason"], found["reason"]
    assert told >= 3
