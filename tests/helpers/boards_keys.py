"""Keys, sshd configurations and known_hosts files for test boards."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

#: A policy that gives a number quickly; not a good one.
QUICK_POLICY = {
    "precision": 0.3,
    "warmup_s": 0.01,
    "min_time_s": 0.01,
    "max_time_s": 0.05,
    "min_samples": 5,
    "timeout_s": 20.0,
}


@dataclass
class Endpoint:
    """How to reach a test board."""

    host: str
    port: int
    user: str
    identity_file: Path
    known_hosts: Path
    extra: dict[str, Any] = field(default_factory=dict)

    def transport(self, **changes: Any) -> dict[str, Any]:
        """The `transport` field of a device profile."""
        fields = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "identity_file": str(self.identity_file),
            "known_hosts": str(self.known_hosts),
            **self.extra,
            **changes,
        }
        return {"ssh": {key: value for key, value in fields.items() if value is not None}}

    def profile(self, name: str, policy: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """The content of a profile file."""
        return {
            "name": name,
            "transport": self.transport(**changes),
            "policy": {**QUICK_POLICY, **(policy or {})},
        }

    def write_profile(self, home: Path, name: str, **arguments: Any) -> None:
        """Put a profile for the board into a home folder."""
        folder = home / "devices"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(self.profile(name, **arguments)))


def make_key(path: Path) -> Path:
    """An Ed25519 key pair without passphrase."""
    if not path.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True
        )
    return path


def public_part(key: Path) -> str:
    """`<type> <base64>` of a key pair."""
    return " ".join(key.with_name(key.name + ".pub").read_text().split()[:2])


def known_hosts_line(host: str, port: int, host_key: Path) -> str:
    """The line by which OpenSSH knows a host."""
    name = host if port == 22 else f"[{host}]:{port}"
    return f"{name} {public_part(host_key)}\n"


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def missing_programs(*names: str) -> list[str]:
    """Those of the programs that are not installed; `sbin` is searched too."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [name for name in names if shutil.which(name, path=path) is None]
