"""`modnas-hw` with all agents played by `endurance_agent.py`, those of boards too: nothing is connected to.

python benchmarks/endurance_host.py FOLDER PAUSE_S profile --device ...
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from harness.agent.reconnecting import ReconnectingTransport
from harness.cli import main
from harness.devices.profile import DeviceProfile
from harness.measure import session
from harness.transport.base import Frame, Transport
from harness.transport.child import ChildTransport

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {beside!r})
import endurance_agent
endurance_agent.serve(Path({folder!r}), {device!r}, {pause_s!r})
"""


class BoardTransport(ChildTransport):
    """A child process in the place of an agent behind SSH."""

    heard_at = 0.0

    def receive(self, timeout_s: float) -> Frame:
        frame = super().receive(timeout_s)
        self.heard_at = time.monotonic()
        return frame


def open_with(folder: Path, pause_s: float) -> None:
    """Have the agents of all devices played."""

    def command(device: str) -> tuple[Path, Path]:
        program, root = folder / f"{device}.py", folder / device
        beside = str(Path(__file__).parent)
        text = PROGRAM.format(beside=beside, folder=str(folder), device=device, pause_s=pause_s)
        program.write_text(text)
        return program, root

    def open_local(profile: DeviceProfile) -> Transport:
        return ChildTransport(*command(profile.name))

    def open_board(profile: DeviceProfile) -> Transport:
        def connect(_timeout_s: float) -> Any:
            board = BoardTransport(*command(profile.name))
            board.heard_at = time.monotonic()
            return board

        return ReconnectingTransport(connect, patience_s=30.0)

    session.TRANSPORTS.update(local=open_local, ssh=open_board)


if __name__ == "__main__":
    open_with(Path(sys.argv[1]), float(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
