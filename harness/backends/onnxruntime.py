"""ONNX Runtime: ONNX files, in 32 bits or quantised to 8."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from harness.backends.base import Backend
from harness.backends.runtime import CPP_LIBRARIES, Runtime
from harness.devices.backends import BackendOptions

if TYPE_CHECKING:
    from harness.devices.profile import DeviceProfile
    from harness.export.artifact import ArtifactCache
    from harness.export.exporters import Exporter


class OnnxRuntimeOptions(BackendOptions):
    """`provider`: the execution provider. `quantize`: measure networks in 8 bits."""

    provider: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] = "CPUExecutionProvider"
    graph_optimization: Literal["all", "extended", "basic", "disable"] = "all"
    quantize: Literal["int8"] | None = None


class OnnxRuntime(Backend):
    """See `harness.backends.base.Backend`."""

    name: ClassVar[str] = "onnxruntime"
    options = OnnxRuntimeOptions
    agent_options = ("threads", "affinity", "provider", "graph_optimization")
    times_operators = True

    def exporter(self, profile: DeviceProfile, cache: ArtifactCache) -> Exporter:
        from harness.export.exporters import Int8Exporter

        assert isinstance(profile.options, OnnxRuntimeOptions)
        return Int8Exporter(cache) if profile.options.quantize else super().exporter(profile, cache)

    def runtime(self) -> Runtime:
        return Runtime(
            self.name,
            "ONNX Runtime",
            ("onnxruntime>=1.17", "numpy>=1.21"),
            200,
            libraries={**CPP_LIBRARIES, "libgomp.so.1": "libgomp1"},
            termux="python-onnxruntime",
        )

    def host_version(self) -> str:
        return version("onnx")
