"""TVM: libraries that are compiled on this machine, and run on a board without the compiler."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator

from harness.backends.base import Backend
from harness.backends.runtime import Runtime, WheelFile
from harness.devices.backends import BackendOptions
from harness.devices.targets import Target, check_target, tvm_target

if TYPE_CHECKING:
    from harness.devices.profile import DeviceProfile
    from harness.export.artifact import ArtifactCache
    from harness.export.exporters import Exporter


class TvmOptions(BackendOptions):
    """`target`: what is compiled for, as TVM writes it; null is this machine's CPU."""

    target: Annotated[Target, AfterValidator(check_target)] | None = None


class Tvm(Backend):
    """See `harness.backends.base.Backend`."""

    name: ClassVar[str] = "tvm"
    options = TvmOptions

    def exporter(self, profile: DeviceProfile, cache: ArtifactCache) -> Exporter:
        from harness.backends.tvm_exporter import TvmExporter

        return TvmExporter(cache, profile)

    def runtime(self) -> Runtime:
        """The board's TVM must be the version that compiles here. Raises CompilerMissingError."""
        self._require()
        library = WheelFile(f"apache-tvm=={version('apache-tvm')}", "tvm/lib/libtvm_runtime.so")
        requirements = (f"apache-tvm-ffi=={version('apache-tvm-ffi')}", "numpy>=1.21")
        return Runtime(self.name, "TVM's runtime", requirements, 150, (library,))

    def options_for(self, inventory: Mapping[str, Any]) -> dict[str, Any]:
        return {"target": tvm_target(inventory)}

    def host_version(self) -> str:
        self._require()
        return version("apache-tvm")

    @staticmethod
    def _require() -> None:
        from harness.export.tvm.compiler import require_tvm

        require_tvm()
