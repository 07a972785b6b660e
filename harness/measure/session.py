"""A device that is being used: its agent started, its backend found, its fingerprint taken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from modnas_agent.errors import CRASHED, RUNTIME
from modnas_agent.folder import entries, is_agents

from harness.agent.archive import write_archive
from harness.agent.client import AgentClient, ProgressCallback, RefusedError
from harness.agent.reconnecting import ReconnectingTransport
from harness.backends import agent_modules
from harness.boards.agent_folder import told
from harness.boards.board import install_hint, other_version, start_agent
from harness.core.errors import DeviceUnavailableError, needed, reworded
from harness.core.home import subfolder
from harness.devices.profile import DeviceProfile
from harness.export import Artifact
from harness.export.exporters import OUTPUT_TOLERANCE
from harness.export.probe import to_document
from harness.measure.local_runtime import local_hint
from harness.store import content_key
from harness.transport.base import Frame, Transport
from harness.transport.child import ChildTransport

# The agent's reason for a file that is not what it should be, or is gone.
DAMAGED = "artifact"


def open_local(profile: DeviceProfile) -> Transport:
    """Start the agent on this machine."""
    root = subfolder("agent")
    found = entries(root)
    if found and not is_agents(found):
        raise DeviceUnavailableError(
            f"{root} holds files that are not the agent's ({told(sorted(found))}): nothing was written "
            "there; name another folder as MODNAS_HOME"
        )
    return ChildTransport(write_archive(root, agent_modules(profile)), root)


def open_board(profile: DeviceProfile) -> Transport:
    """Start the agent on a board, over a link that may be lost meanwhile."""
    assert profile.ssh is not None
    return ReconnectingTransport(partial(start_agent, profile), profile.ssh.reconnect_s)


#: How a device's agent is started, by the kind of its transport. What plays agents takes a kind's place here.
TRANSPORTS: dict[str, Callable[[DeviceProfile], Transport]] = {"local": open_local, "ssh": open_board}


def open_transport(profile: DeviceProfile) -> Transport:
    """Start the agent of a device: here, or on its board."""
    return TRANSPORTS["local" if profile.ssh is None else "ssh"](profile)


class DeviceSession:
    """An open device. Use as a context manager.

    Raises:
        DeviceUnavailableError: on entering, when the agent does not start or lacks the backend or provider.
    """

    def __init__(self, profile: DeviceProfile) -> None:
        self.profile = profile

    def __enter__(self) -> DeviceSession:
        with self._named(), needed("start the agent"):
            transport = open_transport(self.profile)
        try:
            with self._named():
                self.client = AgentClient(transport)
                self.runtime_version = self._check_backend()
        except BaseException:
            transport.close()
            raise
        self._transport = transport
        self.fingerprint = self._fingerprint()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def measure(
        self,
        artifact: Artifact,
        on_progress: ProgressCallback | None = None,
        *,
        tolerance: float = OUTPUT_TOLERANCE,
        energy: bool = False,
        per_op: bool = False,
        policy: Mapping[str, Any] | None = None,
    ) -> Frame:
        """Measure one artifact; the agent's result frame.

        Args:
            tolerance: of the output's difference from PyTorch's, relative to the largest value (at least 1).
            energy: also measure the energy of an inference.
            per_op: afterwards also take the time of every kind of operator.
            policy: what to change of the profile's policy.

        Raises:
            DeviceUnavailableError: the device is gone, or failed in a way that no network can have caused.
        """
        protocol, sensor = {**self.profile.policy.model_dump(), **(policy or {})}, self.profile.power_sensor
        request = {
            "backend": {"name": self.profile.backend, "options": self.backend_options()},
            "inputs": [to_document(spec) for spec in artifact.inputs],
            "expected": list(artifact.expected),
            "tolerance": tolerance,
            "per_op": per_op,
            "protocol": protocol,
            **({"energy": sensor.request()} if energy else {}),
        }
        extra_s = sensor.extra_time_s if energy else 0.0
        return self._measure(artifact.path, artifact.sha256, request, extra_s, on_progress)

    def measure_kernel(
        self,
        library: Path,
        entry: str,
        inputs: Sequence[Mapping[str, Any]],
        policy: Mapping[str, Any],
    ) -> Frame:
        """Time one function of a compiled library; the agent's result frame. Raises as `measure` does."""
        digest = hashlib.sha256(library.read_bytes()).hexdigest()
        options = {**self.backend_options(), "entry": entry}
        request = {
            "backend": {"name": self.profile.backend, "options": options},
            "inputs": list(inputs),
            "protocol": dict(policy),
        }
        result = self._measure(library, digest, request)
        if result.get("reason") == DAMAGED:
            raise DeviceUnavailableError(f"device {self.profile.name}: {result.get('message')}")
        return result

    def _measure(
        self,
        file: Path,
        sha256: str,
        request: Mapping[str, Any],
        extra_s: float = 0.0,
        on_progress: ProgressCallback | None = None,
    ) -> Frame:
        """Bring a file and have it measured; one that the agent finds damaged is brought once more.

        `extra_s`: what that may take beyond the protocol's limits.
        """
        limit_s = request["protocol"]["timeout_s"] + request["protocol"]["max_time_s"] + extra_s
        with self._named():
            path = self._transport.put(file)
            for last in (False, True):
                asked = {"artifact": {"path": path, "sha256": sha256}, **request}
                result = self.client.measure(asked, limit_s, on_progress)
                if last or result.get("reason") != DAMAGED:
                    break
                path = self._transport.put_again(file)
        return result

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say in a DeviceUnavailableError which device it is."""
        try:
            yield
        except DeviceUnavailableError as error:
            raise reworded(error, f"device {self.profile.name}: {error}") from error

    def backend_options(self) -> dict[str, Any]:
        """The profile's runtime options, JSON-able."""
        return self.profile.agent_options

    def _check_backend(self) -> str:
        try:
            answer = self.client.probe(self.profile.backend)
        except RefusedError as error:
            if error.reason not in (RUNTIME, CRASHED):
                raise
            if self.profile.ssh is None:
                here = local_hint(self.profile.backend, error.reason == CRASHED)
                if here is None:
                    raise
                raise reworded(error, f"{error}; {here}") from error
            hint = install_hint(self.profile) if error.reason == RUNTIME else self._other_version()
            raise DeviceUnavailableError(f"{error}; {hint}") from error
        wanted, offered = self.profile.agent_options.get("provider"), answer.get("providers")
        if wanted is not None and isinstance(offered, list) and wanted not in offered:
            raise DeviceUnavailableError(
                f"{self.profile.backend} {answer.get('version')} has no {wanted} here "
                f"(it has {', '.join(offered)}); install a build that has it, or choose another device"
            )
        return str(answer.get("version"))

    def _other_version(self) -> str:
        """What to do where importing the runtime ends with a signal."""
        inventory = self.client.inventory
        installed = {name: str(version) for name, version in (inventory.get("runtimes") or {}).items()}
        return other_version(self.profile, inventory.get("machine"), installed)

    def _fingerprint(self) -> str:
        identity = {
            **self.client.identity,
            "distribution": (self.client.inventory.get("os") or {}).get("distribution"),
            "runtime": [self.profile.backend, self.runtime_version],
        }
        return content_key(identity)[:16]
