"""OpenSSH's client as the judge of ours: the same configuration, the same server, and what became of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boards_keys import make_key, public_part
from boards_loopback import LoopbackBoard

from harness.core.errors import DeviceUnavailableError, UsageError
from harness.transport.settings import SshSettings
from harness.transport.ssh_address import resolve
from harness.transport.ssh_client import close, connect
from harness.transport.ssh_known_hosts import hashed_name

TIMEOUT_S = 20.0
#: A way to the server by a command: what is said to one side is said to the other.
RELAY = """
import os, socket, sys, threading
link = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := link.recv(65536): os.write(1, data)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536): link.sendall(data)
"""

KEYS = ("key", "second", "stranger", "locked", "agent", "certified", "open", "user_ca", "host_ca")
OPTIONS = """
HostKey {keys}/host_rsa
HostKey {keys}/host_ecdsa
HostCertificate {host_key}-cert.pub
TrustedUserCAKeys {keys}/user_ca.pub
MaxAuthTries 20
MaxStartups 100
KexAlgorithms curve25519-sha256@libssh.org,curve25519-sha256
"""


@dataclass(frozen=True)
class Answer:
    """What became of a connection. `logins`: whom the server let in with which key, in its own words.

    `noted`: what the file of host keys has afterwards, without names.
    """

    accepted: bool
    logins: tuple[str, ...]
    noted: tuple[str, ...]


class JudgedServer:
    """One sshd with keys of all kinds, and the files that configurations name.

    `words`: what `{...}` stands for in configurations and files of host keys; `{folder}` is a fresh one for
    each connection.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        keys = folder / "keys"
        keys.mkdir(parents=True)
        for kind, bits in (("rsa", "2048"), ("ecdsa", "256")):
            _keygen("-q", "-t", kind, "-b", bits, "-N", "", "-C", kind, "-f", keys / f"host_{kind}")
        made = {name: make_key(keys / name) for name in KEYS}
        host_key = make_key(_folder(folder / "board") / "host_key")
        names = "127.0.0.1,localhost,board.example"
        _keygen("-q", "-s", made["host_ca"], "-I", "board", "-h", "-n", names, f"{host_key}.pub")
        self._board = LoopbackBoard(folder / "board", OPTIONS.format(keys=keys, host_key=host_key))
        user = self._board.endpoint.user
        _keygen("-q", "-s", made["user_ca"], "-I", "me", "-n", user, f"{made['certified']}.pub")
        accepted = [public_part(made[name]) for name in ("key", "second", "locked", "agent", "open")]
        (folder / "board" / "authorized_keys").write_text("\n".join(accepted) + "\n")
        self._lock_and_open(made)
        relay = folder / "relay.py"
        relay.write_text(RELAY)
        port = self._board.port
        self.words = {
            "port": str(port),
            "user": user,
            "keys": str(keys),
            "relay": f"{sys.executable} {relay}",
            "name": f"[127.0.0.1]:{port}",
            "ed25519": public_part(host_key),
            "ecdsa": public_part(keys / "host_ecdsa"),
            "rsa": public_part(keys / "host_rsa"),
            "other": public_part(made["stranger"]),
            "private": made["key"].read_text(),
            "certified": made["certified"].read_text(),
            "ca": public_part(made["host_ca"]),
            "hashed": hashed_name(f"[127.0.0.1]:{port}"),
            "hashed_plain": hashed_name("127.0.0.1"),
            "hashed_other": hashed_name("192.0.2.1"),
        }

    def _lock_and_open(self, made: dict[str, Path]) -> None:
        plain = made["locked"].with_name("unlocked")
        shutil.copy(made["locked"], plain)
        _keygen("-q", "-p", "-N", "secret", "-f", made["locked"])
        made["locked"].with_name("locked.pub").unlink()
        made["agent"].rename(plain.with_name("in_agent"))  # only its public part is a file that is named
        made["open"].chmod(0o644)

    def stop(self) -> None:
        self._board.stop()

    @contextmanager
    def agent(self, *names: str) -> Iterator[str]:
        """An SSH agent with some of the keys; its socket."""
        socket = self._folder / "agent.sock"
        socket.unlink(missing_ok=True)
        process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it listens now
            files = [self._folder / "keys" / name for name in names]
            environment = {"SSH_AUTH_SOCK": str(socket), "PATH": "/usr/bin:/bin"}
            subprocess.run(["ssh-add", "-q", *files], env=environment, check=True)
            yield str(socket)
        finally:
            process.terminate()
            process.communicate()

    def write(self, folder: Path, files: dict[str, bytes | str]) -> Path:
        """Lay the files of a case into a folder, words put in; the configuration among them."""
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else content.decode("latin-1")
            for word, meant in {**self.words, "folder": str(folder)}.items():
                text = text.replace("{" + word + "}", meant)
            path.write_bytes(text.encode("utf-8" if isinstance(content, str) else "latin-1"))
            path.chmod(0o600)  # a key may be in it
        return folder / "config"

    def ask_openssh(self, folder: Path, files: dict[str, bytes | str], alias: str) -> Answer:
        """What `ssh` does."""
        config = self.write(folder, files)
        command = ["ssh", "-F", config, "-o", "BatchMode=yes", "--", alias, "true"]
        mark = self._log_size()
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
        return self._answer(folder, mark, accepted=done.returncode == 0)

    def ask_ours(self, folder: Path, files: dict[str, bytes | str], alias: str) -> Answer:
        """What our transport does."""
        config, mark = self.write(folder, files), self._log_size()
        try:
            servers = connect(resolve(alias, SshSettings(), config), TIMEOUT_S)
            with servers[-1].open_session(timeout=TIMEOUT_S) as channel:
                channel.exec_command("true")
                assert channel.recv_exit_status() == 0  # the server has noted the login before that
            close(servers)
        except (DeviceUnavailableError, UsageError) as error:
            assert "\n" not in str(error)
            return self._answer(folder, mark, accepted=False)
        return self._answer(folder, mark, accepted=True)

    def _log_size(self) -> int:
        return (self._board.folder / "sshd.log").stat().st_size

    def _answer(self, folder: Path, mark: int, *, accepted: bool) -> Answer:
        log = (self._board.folder / "sshd.log").read_bytes()[mark:].decode("utf-8", "replace")
        logins = re.findall(r"Accepted publickey for (\S+) from .* ssh2: (.*)", log)
        known = folder / "known"
        lines = known.read_text("latin-1").splitlines() if known.is_file() else []
        noted = tuple(line.split(" ", 1)[-1] for line in lines if line.strip())
        return Answer(accepted, tuple(" ".join(login) for login in logins), noted)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _keygen(*arguments: str | Path) -> None:
    subprocess.run(["ssh-keygen", *arguments], check=True, stdout=subprocess.DEVNULL)
