"""The host's side of a runtime: one class a runtime, found by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from harness.backends.runtime import Runtime
from harness.core.errors import UsageError
from harness.devices.backends import BackendOptions

if TYPE_CHECKING:
    from harness.devices.profile import DeviceProfile
    from harness.export.artifact import ArtifactCache
    from harness.export.exporters import Exporter

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Backend:
    """A runtime as the host knows it. The agent's side is a module with the same name as the backend.

    Importing the class must import neither the runtime nor PyTorch: every profile that names it does.

    Attributes:
        name: in profiles and stored measurements; small letters, digits and `_`.
        options: model of the options that a profile may give, derived from `BackendOptions`.
        agent_options: names of the options that the agent is told; they identify a measurement.
        form: what networks are written as: `onnx`, or `pt2`, a program of `torch.export`.
        times_operators: whether the agent's side has `operator_times`.
    """

    name: ClassVar[str]
    options: ClassVar[type[BackendOptions]] = BackendOptions
    agent_options: ClassVar[tuple[str, ...]] = ("threads", "affinity")
    form: ClassVar[str] = "onnx"
    times_operators: ClassVar[bool] = False

    def exporter(self, profile: DeviceProfile, cache: ArtifactCache) -> Exporter:
        """What makes the files that the agent loads; networks in `form` unless overridden.

        Raises UsageError for options it cannot honour.
        """
        from harness.export.exporters import PlainExporter  # imports PyTorch

        return PlainExporter(cache, self.form)

    def runtime(self) -> Runtime:
        """What `agent install` brings to a board.

        Raises:
            UsageError: it does not bring this runtime.
            DeviceUnavailableError: something is missing on this machine.
        """
        raise UsageError(
            f"the runtime of backend {self.name} is not brought to a board: install it there and name that "
            "interpreter as `python` in the profile"
        )

    def agent_source(self) -> bytes | None:
        """Source of the agent's side where another package has it; None for what the agent brings itself.

        One module of Python 3.8 that imports the standard library, `modnas_agent` and, in its function
        `backend()`, the runtime; `modnas_agent.backends.base.Backend` says what that returns.
        """
        return None

    def options_for(self, inventory: Mapping[str, Any]) -> dict[str, Any]:
        """Options for a board with this inventory, written into its new profile where they can be told."""
        return {}

    def host_version(self) -> str:
        """Version of what makes the files here, for `doctor`. Raises ModnasHwError where it does not work."""
        return "nothing needed on this machine"
