"""ONNX Runtime: ONNX files, in 32 bits or quantised to 8."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from harness.backends.base import Backend
from harness.backends.runtime import CPP_LIBRARIES, Companion, CpuNeed, Runtime
from harness.devices.backends import BackendOptions

if TYPE_CHECKING:
    from harness.devices.profile import DeviceProfile
    from harness.export.artifact import ArtifactCache
    from harness.export.exporters import Exporter

# While it is imported, ONNX Runtime 1.21.0 works in half precision, as a Cortex-A53, A57, A72 or A73 cannot:
# Raspberry Pi 3 and 4, Jetson Nano, i.MX 8. NumPy's wheels are for x86-64-v2 from 2.4 on.
CPU_NEEDS = (
    CpuNeed("onnxruntime", "aarch64", ("asimdhp",), "!=1.21.0"),
    CpuNeed("numpy", "x86_64", ("ssse3", "sse4_1", "sse4_2", "popcnt"), "<2.4"),
)
# Tried on an emulated Cortex-A53 and an emulated Core 2.
PLAIN = {"aarch64": "onnxruntime==1.20.1", "x86_64": "onnxruntime==1.20.1"}


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
            cpu_needs=CPU_NEEDS,
            companions=(Companion("onnxruntime", "<1.19", "numpy", "<2"),),
            plain=PLAIN,
        )

    def host_version(self) -> str:
        return version("onnx")
