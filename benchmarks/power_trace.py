"""How exactly a power trace of known energy is read back, at several rates of the meter.

    python benchmarks/power_trace.py [--traces 200]

Writes meter logs of a board that idles, then infers: a level over the idle power, a slow drift, a ripple, and
white noise of the meter. Each is replayed through the agent's own reader with the window the agent would plan
for that meter, and the net energy is compared with the integral of the formula. Prints, for each rate and
longest window allowed, the traces refused as too short, those that warn of it, and the errors of the others.
"""

import argparse
import math
import random
import statistics
import tempfile
import time
from pathlib import Path

from modnas_agent.energy.measurement import plan_window
from modnas_agent.energy.plausibility import EnergyError
from modnas_agent.energy.sensors.base import POWER
from modnas_agent.energy.sensors.meter import Meter
from modnas_agent.energy.trace import Trace, Window, energy_per_inference, energy_warnings
from modnas_agent.wire.request import EnergyRequest

RATES_HZ = (1.0, 10.0, 1000.0)
MAX_WINDOWS_S = (5.0, 30.0)
EPOCH_S = 1.7e9


def replay(folder: Path, rate_hz: float, max_window_s: float, generator: random.Random) -> float | str:
    """Error of the net energy of one drawn trace, relative, or in which way it was called too short."""
    period_s = 1.0 / rate_hz
    idle_w, level_w = generator.uniform(0.5, 5), generator.uniform(0.5, 20)
    drift, ripple = generator.uniform(-0.1, 0.1), generator.uniform(0, 0.2)
    angle = 2 * math.pi / (generator.uniform(5, 50) * period_s)

    log, start_s = folder / "meter.csv", time.monotonic()
    rows = [(start_s - 2 * period_s, idle_w), (start_s - period_s, idle_w)]
    log.write_text("time,power_w\n" + "".join(f"{EPOCH_S + t:.6f},{w}\n" for t, w in rows))
    meter = Meter(str(log), wall_clock=lambda: time.monotonic() + EPOCH_S)
    try:
        plan = plan_window(meter, EnergyRequest(max_window_s=max_window_s))
    except EnergyError:
        return "refused"
    idle = Window(start_s + 2 * period_s, start_s + 2 * period_s + plan.window_s)
    on_s = idle.end_s + 2 * period_s + 0.5
    window = Window(on_s + plan.lead_s, on_s + plan.lead_s + plan.window_s)
    off_s = window.end_s + plan.lead_s

    def power_w(time_s: float) -> float:
        since = time_s - on_s
        if not 0 <= since <= off_s - on_s:
            return idle_w
        return idle_w + level_w * (1 + drift * since / (off_s - on_s) + ripple * math.sin(angle * since))

    phase = generator.random()
    times = (start_s + (n + phase) * period_s for n in range(math.ceil((off_s - start_s) * rate_hz) + 2))
    with log.open("a") as file:
        for t in times:
            reading_w = power_w(t) + generator.gauss(0, 0.01 * (idle_w + level_w))
            file.write(f"{EPOCH_S + t:.6f},{reading_w:.9f}\n")

    first, last = window.begin_s - on_s, window.end_s - on_s
    wave = ripple / angle * (math.cos(angle * first) - math.cos(angle * last))
    net_j = level_w * (last - first + drift * (last**2 - first**2) / 2 / (off_s - on_s) + wave)
    found = energy_per_inference(Trace(meter.poll(), POWER), idle, window, inferences=1)
    return "warned" if energy_warnings(found) else found["net_mj"] / (1e3 * net_j) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--traces", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        for rate_hz in RATES_HZ:
            for max_window_s in MAX_WINDOWS_S:
                drawn = range(arguments.traces)
                found = [replay(Path(folder), rate_hz, max_window_s, generator) for _ in drawn]
                told = sorted(abs(error) for error in found if not isinstance(error, str))
                line = f"{rate_hz:6g} Hz, window up to {max_window_s:2g} s: "
                line += ", ".join(f"{found.count(how)} {how}" for how in ("refused", "warned"))
                if told:
                    line += f", |error| median {statistics.median(told):.2%}, worst {told[-1]:.2%}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
