"""PyTorch: programs of `torch.export`."""

from __future__ import annotations

from importlib.metadata import version
from typing import ClassVar

from harness.backends.base import Backend
from harness.backends.runtime import Runtime
from harness.core.errors import UsageError
from harness.devices.backends import BackendOptions


class TorchOptions(BackendOptions):
    """`compile`: by `torch.compile`, on the device."""

    compile: bool = False


class Torch(Backend):
    """See `harness.backends.base.Backend`."""

    name: ClassVar[str] = "torch"
    options = TorchOptions
    agent_options = ("threads", "affinity", "compile")
    form = "pt2"

    def runtime(self) -> Runtime:
        raise UsageError(
            f"the runtime of backend {self.name} is too large to be brought to a board: install it there and "
            "name that interpreter as `python` in the profile; agent install brings onnxruntime and tvm"
        )

    def host_version(self) -> str:
        return version("torch")
