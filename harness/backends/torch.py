"""PyTorch: programs of `torch.export`."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from harness.backends.base import Backend
from harness.backends.runtime import Runtime
from harness.core.errors import UsageError
from harness.devices.backends import BackendOptions

if TYPE_CHECKING:
    from harness.devices.profile import DeviceProfile
    from harness.export.artifact import ArtifactCache
    from harness.export.exporters import Exporter


class TorchOptions(BackendOptions):
    """`compile`: by `torch.compile`, on the device."""

    compile: bool = False


class Torch(Backend):
    """See `harness.backends.base.Backend`."""

    name: ClassVar[str] = "torch"
    options = TorchOptions
    agent_options = ("threads", "affinity", "compile")

    def exporter(self, profile: DeviceProfile, cache: ArtifactCache) -> Exporter:
        from harness.export.exporters import PlainExporter

        return PlainExporter(cache, "pt2")

    def runtime(self) -> Runtime:
        raise UsageError(
            f"the runtime of backend {self.name} is too large to be brought to a board: install it there and "
            "name that interpreter as `python` in the profile; agent install brings onnxruntime and tvm"
        )

    def host_version(self) -> str:
        return version("torch")
