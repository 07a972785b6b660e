"""A link between this machine and a network namespace whose delay and loss can be set at any time.

Run as a program: two TUN devices, one on either side, and a relay of their packets in between. Kernels in
containers often lack netem, and a relay can be told to lose everything without any of the two ends noticing.
A line `<delay_ms> <loss_percent>` on stdin changes the link; the end of stdin ends it.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
CLONE_NEWNET = 0x40000000
MTU = 8000
ARGUMENTS = 5


class Relay:
    """Packets between two TUN devices, each after the delay, or never."""

    def __init__(self, here: int, there: int) -> None:
        self._other = {here: there, there: here}
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self.delay_s = 0.0
        self.loss = 0.0

    def run(self) -> None:
        """Relay until stdin ends."""
        while True:
            due_s = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            ready, _, _ = select.select([*self._other, 0], [], [], due_s)
            if 0 in ready and not self._set():
                return
            for source in self._other:
                if source in ready:
                    self._take(source)
            self._deliver()

    def _set(self) -> bool:
        line = os.read(0, 1000).decode().splitlines()
        if not line:
            return False
        delay_ms, loss_percent = line[-1].split()
        self.delay_s, self.loss = float(delay_ms) / 1000, float(loss_percent) / 100
        if self.loss >= 1.0:
            self._waiting.clear()
        return True

    def _take(self, source: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(source, 65536)
            except BlockingIOError:
                return
            if random.random() >= self.loss:
                self._count += 1
                due = time.monotonic() + self.delay_s
                heapq.heappush(self._waiting, (due, self._count, self._other[source], packet))

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            *_, target, packet = heapq.heappop(self._waiting)
            try:
                os.write(target, packet)
            except OSError:
                continue  # the device is down or its queue is full: that packet is lost, as on a wire


def open_tun(name: str, address: str, peer: str) -> int:
    """A TUN device in the current network namespace, with its address, up."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_WITHOUT_HEADER))
    for command in (
        ["ip", "addr", "add", address, "peer", peer, "dev", name],
        ["ip", "link", "set", name, "mtu", str(MTU), "txqueuelen", "2000", "up"],
        ["ip", "link", "set", "lo", "up"],
    ):
        subprocess.run(command, check=True)
    return fd


def enter_network(namespace: str) -> None:
    """Move this process into a named network namespace."""
    fd = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def main() -> int:
    """NAMESPACE DEVICE HOST_ADDRESS BOARD_ADDRESS"""
    if len(sys.argv) != ARGUMENTS:
        print(main.__doc__, file=sys.stderr)
        return 2
    namespace, device, host, board = sys.argv[1:]
    here = open_tun(device, host, board)
    enter_network(namespace)
    there = open_tun("link0", board, host)
    print("up", flush=True)
    Relay(here, there).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
