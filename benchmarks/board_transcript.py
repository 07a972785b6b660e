"""The transcript in docs/boards.md: from a bare emulated aarch64 board to a device vector.

    python benchmarks/board_transcript.py

Needs what the test boards need (root, mmdebstrap, qemu-user-static, /dev/net/tun) and gcc-aarch64-linux-gnu.
Latencies on an emulated board mean nothing; what the transcript shows is that every step works on another
architecture. What each command took goes to stderr.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELPERS = Path(__file__).resolve().parents[1] / "tests" / "helpers"
sys.path.insert(0, str(HELPERS))

from boards_namespace import NamespaceBoard  # noqa: E402

PROGRAM = "import sys; from harness.cli import main; sys.exit(main())"
SIZE = "--set channels=4 --set cells=1 --set input=1x8x8"
COMMANDS = (
    "modnas-hw devices add arm --ssh board@arm-board",
    "modnas-hw agent install --device arm --offline",
    "modnas-hw agent install --device arm --offline",
    "modnas-hw devices check arm",
    f"modnas-hw features --device arm {SIZE}",
    f"modnas-hw profile --device arm --archs reference {SIZE}",
    "modnas-hw agent install --device arm --offline --backend tvm",
    f"modnas-hw profile --device arm --archs reference --backend tvm {SIZE}",
    "modnas-hw agent uninstall --device arm",
)


def run(command: str, home: Path) -> str:
    """What a person sees who gives the command."""
    environment = {**os.environ, "HOME": str(home), "MODNAS_HOME": str(home / ".modnas-hw")}
    arguments = [sys.executable, "-c", PROGRAM, *command.split()[1:]]
    began = time.monotonic()
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    print(f"{time.monotonic() - began:5.1f} s  {command}", file=sys.stderr)
    lines = [line.rstrip() for line in (done.stderr + done.stdout).splitlines()]
    shown = "\n".join(line if len(line) <= 110 else line[:107] + "..." for line in lines)
    return f"$ {command}\n{shown}\n" + (f"(exit {done.returncode})\n" if done.returncode else "")


def main() -> int:
    """Make the board, give the commands, print what they say."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / ".ssh").mkdir(parents=True)
        board = NamespaceBoard(Path(folder) / "board", with_runtime=False, emulated=True)
        try:
            (home / ".ssh/config").write_text(
                f"Host arm-board\n HostName {board.address}\n IdentityFile {board.client_key}\n"
                f" UserKnownHostsFile {board.known_hosts}\n"
            )
            for command in COMMANDS:
                print(run(command, home).replace(folder, ""), flush=True)
        finally:
            board.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
