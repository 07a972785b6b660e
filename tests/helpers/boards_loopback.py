"""Board (a): an OpenSSH server on the loopback, for everything that needs no link of its own."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from boards_keys import Endpoint, free_port, known_hosts_line, make_key, public_part

START_S = 10.0
CONFIGURATION = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
LogLevel VERBOSE
"""
SFTP = "Subsystem sftp internal-sftp\n"


class LoopbackBoard:
    """An sshd of this user. The agent's folder on it is `board/` in `folder`, not the user's home.

    `sftp`: whether it has files over SFTP.
    """

    def __init__(self, folder: Path, options: str = "", key_options: str = "", sftp: bool = True) -> None:
        self.folder = folder
        self.directory = folder / "board"
        self.directory.mkdir(parents=True)
        host_key, client_key = make_key(folder / "host_key"), make_key(folder / "client_key")
        self.port = free_port()
        (folder / "authorized_keys").write_text(f"{key_options} {public_part(client_key)}\n".lstrip())
        configuration = CONFIGURATION.format(port=self.port, folder=folder) + SFTP * sftp + options
        (folder / "sshd_config").write_text(configuration)
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(known_hosts_line("127.0.0.1", self.port, host_key))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd of root separates its privileges
        self._log = (folder / "sshd.log").open("wb")
        self._process = subprocess.Popen(self._command(), stderr=self._log)
        self._wait()
        self.endpoint = Endpoint(
            "127.0.0.1",
            self.port,
            getpass.getuser(),
            client_key,
            known_hosts,
            {"directory": str(self.directory / "agent"), "python": sys.executable},
        )

    def _command(self) -> list[str | Path]:
        return ["/usr/sbin/sshd", "-D", "-e", "-f", self.folder / "sshd_config"]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"sshd did not start: {(self.folder / 'sshd.log').read_text()}")

    def stop(self) -> None:
        """End the server; sessions that are open end with their clients."""
        self._process.terminate()
        self._process.wait()
        self._log.close()
