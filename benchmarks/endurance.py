"""A long profile whose agents and host are killed at random: every row there, none twice, memory flat.

    python benchmarks/endurance.py [--minutes 30] [--devices 3] [--seed 0]

Fake devices (see `endurance_agent.py`) that take `--pause` seconds a network are measured side by side by
`modnas-hw profile`: one is a board that is reached again when it is lost, the others are on this machine.
They get so many networks that it takes at least the minutes. Meanwhile a random agent is killed (SIGKILL)
every 15 seconds in the mean, and in the first half the host `--host-kills` times: it is started again with
the same command and goes on.

Memory is judged within each life of the host that measures for at least twice the `--settle` seconds: its
resident memory so long after the first measurement is compared with that of every later second of the same
life. Exits 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endurance_agent import journal, pid_file

HOST = Path(__file__).with_name("endurance_host.py")
SPACE = ["--space", "nasbench201", "--set", "channels=4", "--set", "cells=1", "--set", "input=1x8x8"]
AGENT_KILL_EVERY_S = 15.0
LOOK_EVERY_S = 1.0
MOST_GROWTH = 0.05
# Given up devices make the command fail, and it is started again; so often it is not for a kill's sake.
MOST_FAILURES = 5
POLICY = "{precision: 0.25, timeout_s: 5}"


@dataclass
class Life:
    """One process of the host: its resident memory in MB by the seconds since it had measured something."""

    process: subprocess.Popen[bytes]
    measured_before: int
    samples: list[tuple[float, float]] = field(default_factory=list)
    began: float | None = None

    def look(self, measured: int) -> None:
        """Take one sample, if more has been measured by now than when it was started."""
        if measured == self.measured_before:
            return
        self.began = self.began or time.monotonic()
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        if "VmRSS:" in status:  # else it is ending
            resident_mb = int(status.split("VmRSS:")[1].split()[0]) / 1024
            self.samples.append((time.monotonic() - self.began, resident_mb))

    def memory(self, settle_s: float) -> dict[str, float] | None:
        """How the memory went after the settling; None for a life that was too short to tell."""
        if not self.samples or self.samples[-1][0] < 2 * settle_s:
            return None
        settled = [mb for second, mb in self.samples if second >= settle_s]
        farthest = max(settled[1:], key=lambda mb: abs(mb / settled[0] - 1))
        return {
            "seconds": round(self.samples[-1][0]),
            "settled_mb": round(settled[0], 1),
            "last_mb": round(statistics.median(settled[-5:]), 1),
            "largest_change": round(farthest / settled[0] - 1, 4),
        }


class Endurance:
    """A home, its devices, and the processes that measure on them."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self._arguments = folder, arguments
        self.devices = [f"fake{n}" for n in range(arguments.devices)]
        self.networks = math.ceil(arguments.minutes * 60 / arguments.pause)
        self.lives: list[Life] = []
        self.kills: Counter[str] = Counter()
        self._random = random.Random(arguments.seed)
        self._log = (folder / "host.log").open("wb")
        (folder / "devices").mkdir()
        for device in self.devices:
            transport = "{ssh: {host: nowhere}}" if device == self.devices[0] else "local"
            text = f"name: {device}\ntransport: {transport}\npolicy: {POLICY}\n"
            (folder / "devices" / f"{device}.yaml").write_text(text)

    def run(self) -> float:
        """Measure to the end; the seconds that it took."""
        began, half_s = time.monotonic(), self._arguments.minutes * 30
        due = sorted(self._random.uniform(0, half_s) for _ in range(self._arguments.host_kills))
        next_agent_s = self._random.expovariate(1 / AGENT_KILL_EVERY_S)
        failures = 0
        self._start()
        while True:
            time.sleep(LOOK_EVERY_S)
            life, now_s = self.lives[-1], time.monotonic() - began
            life.look(self._measured())
            ended = life.process.poll()
            if ended == 0:
                return now_s
            if ended is not None:
                failures += 1
                if failures > MOST_FAILURES:
                    raise SystemExit(f"the host ends with {ended}:\n{(self.folder / 'host.log').read_text()}")
                self._start()
            elif due and now_s >= due[0]:
                due.pop(0)
                life.process.kill()
                life.process.wait()
                self.kills.update([*self.devices, "host"])
                self._start()
            elif now_s >= next_agent_s:
                self._kill_agent(self._random.choice(self.devices))
                next_agent_s = now_s + self._random.expovariate(1 / AGENT_KILL_EVERY_S)

    def _start(self) -> None:
        arguments = self._arguments
        devices = [part for device in self.devices for part in ("--device", device)]
        command = ["profile", *devices, *SPACE, "--archs", str(self.networks), "--seed", str(arguments.seed)]
        process = subprocess.Popen(
            [sys.executable, HOST, self.folder, str(arguments.pause), *command],
            env={**os.environ, "MODNAS_HOME": str(self.folder), "MODNAS_STORE": "", "OMP_NUM_THREADS": "1"},
            stdout=self._log,
            stderr=self._log,
        )
        self.lives.append(Life(process, self._measured()))

    def _measured(self) -> int:
        """Bytes that the agents wrote of what they measured."""
        written = (journal(self.folder, device) for device in self.devices)
        return sum(path.stat().st_size for path in written if path.exists())

    def _kill_agent(self, device: str) -> None:
        """Kill an agent, if it is one: it may have ended, and its number be another's."""
        try:
            pid = int(pid_file(self.folder, device).read_text())
            if str(self.folder / f"{device}.py").encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                self.kills.update([device, "agents"])
        except (OSError, ValueError):
            return

    def stop(self) -> None:
        """End the host, whatever happened."""
        self.lives[-1].process.kill()
        self.lives[-1].process.wait()
        self._log.close()

    def rows(self) -> list[sqlite3.Row]:
        """All rows, as another program reads them."""
        with closing(sqlite3.connect(self.folder / "store.sqlite")) as connection:
            connection.row_factory = sqlite3.Row
            query = "SELECT key, arch, device, status, artifact_sha256 AS file FROM measurements"
            return connection.execute(query).fetchall()

    def measured_in_vain(self, rows: list[sqlite3.Row]) -> dict[str, int]:
        """Measurements that an agent finished and that became no row, by device.

        The anchor, which is measured again and again and may be a network too, is left out.
        """
        lost = {}
        for device in self.devices:
            files = journal(self.folder, device).read_text().split()[1::2]
            anchor = files[0]  # it is what a profile begins with
            kept = sum(row["device"] == device and row["file"] != anchor for row in rows)
            lost[device] = len(files) - files.count(anchor) - kept
        return lost


def judge(run: Endurance, seconds: float, settle_s: float) -> dict[str, Any]:
    """The figures, and under `wrong` what does not hold."""
    rows = run.rows()
    by_device = Counter(row["device"] for row in rows)
    twice = len(rows) - len({row["key"] for row in rows})
    failed = sum(row["status"] != "ok" for row in rows)
    in_vain = run.measured_in_vain(rows)
    memory = [found for life in run.lives if (found := life.memory(settle_s))]
    holds = {
        "a device lacks rows": all(by_device[device] == run.networks for device in run.devices),
        "a row is there twice": twice == 0,
        "a row is a failure": failed == 0,
        "more was measured in vain than was killed": all(
            0 <= in_vain[device] <= run.kills[device] for device in run.devices
        ),
        "no life of the host was long enough to judge its memory": bool(memory),
        "memory is not flat": all(abs(life["largest_change"]) <= MOST_GROWTH for life in memory),
    }
    return {
        "minutes": round(seconds / 60, 1),
        "networks": run.networks,
        "rows": len(rows),
        "twice": twice,
        "failed": failed,
        "killed": {"agents": run.kills["agents"], "hosts": run.kills["host"]},
        "measured_in_vain": sum(in_vain.values()),
        "lives": len(run.lives),
        "memory": memory,
        "wrong": [what for what, held in holds.items() if not held],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--devices", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=0.3)
    parser.add_argument("--settle", type=float, default=60.0)
    parser.add_argument("--host-kills", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Endurance(Path(folder), arguments)
        try:
            seconds = run.run()
        finally:
            run.stop()
        figures = judge(run, seconds, arguments.settle)
    print(json.dumps(figures, indent=2))
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
