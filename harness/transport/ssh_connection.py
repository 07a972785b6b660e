"""A connection to a board: commands, each with a hard limit on how long it may take."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko

from harness.core.errors import DeviceUnavailableError
from harness.core.foreign import clean_lines, clean_text
from harness.transport.base import TransportClosedError
from harness.transport.login_shell import for_login_shell
from harness.transport.ssh_address import Address
from harness.transport.ssh_client import close, connect, time_limit

COMMAND_S = 20.0
# A goodbye that a dead link keeps waiting; it goes on in the background.
CLOSE_S = 2.0
# The slowest link worth using; what a transfer may take follows from its size.
SLOWEST_BYTES_PER_S = 50_000
# More than this from a command is a board gone mad, not an answer.
MAX_OUTPUT_BYTES = 4 << 20
# A command that the server would not start is asked for anew, up to so many times in all.
STARTS = 3
# What a command says begins after this; before it a login shell may have said something.
_BEGINNING = "modnas-output"
# paramiko's, and what it raises for an answer that it cannot take apart: a server that speaks no SFTP.
LOST = (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError, struct.error, UnicodeDecodeError)


@dataclass(frozen=True)
class Output:
    """A command that ended, and the bytes that it wrote, as they came."""

    status: int
    output: bytes
    errors: bytes


@dataclass(frozen=True)
class Completed:
    """A command that ended, and what it wrote: printable lines (see `harness.core.foreign`)."""

    status: int
    output: str
    errors: str


class SshConnection:
    """An authenticated connection. Use from one thread.

    Raises:
        DeviceUnavailableError: every method, when the board or the way to it is not there.
    """

    def __init__(self, address: Address, timeout_s: float = 15.0) -> None:
        self.address = address
        self._servers = connect(address, timeout_s)

    def close(self) -> None:
        """Close it; never waits long, never raises."""
        # Closing says goodbye to the other side, which may be frozen.
        closing = threading.Thread(target=close, args=(self._servers,), daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    @property
    def active(self) -> bool:
        """Whether the connection is still open as far as this side knows."""
        return self._servers[-1].is_active()

    @contextmanager
    def limit(self, seconds: float, what: str) -> Iterator[None]:
        """Close the connection when the block takes longer; errors of paramiko become ours."""
        try:
            with time_limit(seconds, f"{what} on {self.address}", self.close):
                yield
        except LOST as error:
            if isinstance(error, FileNotFoundError) and self.active:
                raise
            raise TransportClosedError(
                f"the connection to {self.address} was lost while {what}: "
                f"{clean_text(str(error)) or 'the other side closed it'}"
            ) from error

    def session(self, timeout_s: float = COMMAND_S) -> paramiko.Channel:
        """A new channel."""
        with self.limit(timeout_s, "opening a channel"):
            channel = self._servers[-1].open_session(timeout=timeout_s)
            channel.settimeout(timeout_s)
            return channel

    def start(self, command: str, timeout_s: float = COMMAND_S) -> paramiko.Channel:
        """A new channel on which a command of `sh` runs, at home.

        Dropbear (2022.83) closes a channel that waits for its command when another channel's command ends
        just then. What a server has not granted it has not begun, so that it can be asked for again.
        """
        tries = 0
        while True:
            tries += 1
            channel = self.session(timeout_s)
            with self.limit(timeout_s, "starting a command"):
                try:
                    channel.exec_command(for_login_shell(command))
                    return channel
                except paramiko.SSHException:
                    if tries == STARTS or not self.active:
                        raise

    def run(self, command: str, timeout_s: float = COMMAND_S, data: bytes = b"") -> Completed:
        """What `execute` does, as printable lines."""
        done = self.execute(command, timeout_s, data)
        texts = (text.decode("utf-8", "replace") for text in (done.output, done.errors))
        return Completed(done.status, *map(clean_lines, texts))

    def execute(
        self,
        command: str,
        timeout_s: float = COMMAND_S,
        data: bytes = b"",
        limit_bytes: int = MAX_OUTPUT_BYTES,
    ) -> Output:
        """Run a command of `sh` to its end, at home, with `data` on its standard input.

        Raises:
            TransportClosedError: it ended without an exit status: the link or the shell was killed.
            DeviceUnavailableError: it wrote `limit_bytes`, more than any answer is long.
        """
        with (
            self.limit(timeout_s, "running a command"),
            self.start(f"echo {_BEGINNING}; {command}", timeout_s) as channel,
        ):
            _feed(channel, data)
            output = channel.makefile("rb").read(limit_bytes)
            if len(output) == limit_bytes:
                raise DeviceUnavailableError(f"a command on {self.address} does not stop writing")
            errors = channel.makefile_stderr("rb").read(MAX_OUTPUT_BYTES)
            status = channel.recv_exit_status()
        if status < 0:
            raise TransportClosedError(f"the connection to {self.address} was lost while running a command")
        before, beginning, said = output.partition(f"{_BEGINNING}\n".encode())
        return Output(status, said if beginning else before, errors)


def _feed(channel: paramiko.Channel, data: bytes) -> None:
    """All of a command's input; one that ends before it has read that says why itself."""
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        if not channel.closed:
            raise


def transfer_s(size: int) -> float:
    """What it may take to send so many bytes."""
    return COMMAND_S + size / SLOWEST_BYTES_PER_S
