"""Another host at a board: OpenSSH's client and frames written by hand, no code of the transport."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from boards_keys import Endpoint
from modnas_agent.wire.protocol import PROTOCOL_VERSION

#: Whom it measures for, as it says itself.
NAME = "eve@laptop"


class OtherHost:
    """Speaks to an agent that it starts on the board from an archive that is there already."""

    def __init__(self, endpoint: Endpoint, archive: str, directory: str) -> None:
        serve = f"python3 {archive} serve --root {directory} --host {NAME}"
        options = ["BatchMode=yes", f"UserKnownHostsFile={endpoint.known_hosts}"]
        self.process = subprocess.Popen(
            ["ssh", "-F", "none", "-i", endpoint.identity_file, "-p", str(endpoint.port)]
            + [part for option in options for part in ("-o", option)]
            + [f"{endpoint.user}@{endpoint.host}", serve],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.receive()["protocol"] == PROTOCOL_VERSION

    def send(self, **frame: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        frame = json.loads(self.process.stdout.readline())
        assert isinstance(frame, dict)
        return frame

    def vanish(self) -> None:
        """End without a word, as a host that loses its power."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def spin(identifier: str, artifact: dict[str, str], max_time_s: float, **fields: Any) -> dict[str, Any]:
    """A request for the synthetic runtime that takes `max_time_s`."""
    return {
        "id": identifier,
        "artifact": artifact,
        "backend": {"name": "synthetic", "options": {"threads": 1, "affinity": "auto"}},
        "inputs": [],
        "expected": None,
        "protocol": {
            "precision": 1e-6,
            "warmup_s": 0.05,
            "min_time_s": max_time_s,
            "max_time_s": max_time_s,
            "timeout_s": max_time_s + 30,
        },
        **fields,
    }


def spin_artifact(folder: Path, latency_ms: float) -> tuple[Path, str]:
    """A network of the synthetic runtime and its sha256."""
    import hashlib

    content = json.dumps({"kind": "spin", "latency_ms": latency_ms}).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"{sha256}.json"
    path.write_bytes(content)
    return path, sha256
