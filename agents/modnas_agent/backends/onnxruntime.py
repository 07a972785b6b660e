"""ONNX Runtime on the CPU and on CUDA devices."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from modnas_agent.backends.base import Backend, Runner, UnavailableError
from modnas_agent.wire.fill import fill_inputs

if TYPE_CHECKING:
    import numpy as np

    from modnas_agent.wire.request import InputSpec

DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
CPU = "CPUExecutionProvider"
#: Providers whose tensors live on a CUDA device.
CUDA_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
OPTIMIZATION_LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
#: Errors only: warnings about graph optimisations are of no use on a board.
LOG_ERRORS = 3
#: Inferences before and while the time of every operator is recorded.
PROFILE_WARMUP, PROFILE_RUNS = 5, 30
#: How ONNX Runtime's profile names the time of an operator's kernel.
KERNEL_TIME = "_kernel_time"


def backend() -> Backend:
    """Import the runtime."""
    return OnnxRuntime()


class OnnxRuntime:
    """See `modnas_agent.backends.base.Backend`."""

    def __init__(self) -> None:
        import onnxruntime

        self._ort = onnxruntime

    def version(self) -> str:
        return str(self._ort.__version__)

    def providers(self) -> list[str]:
        return list(self._ort.get_available_providers())

    def uses_device_memory(self, options: Mapping[str, Any]) -> bool:
        return bool(options.get("provider", CPU) != CPU)

    def load(self, path: Path, inputs: Sequence[InputSpec], options: Mapping[str, Any]) -> Runner:
        provider = options.get("provider", CPU)
        if provider not in self.providers():
            raise UnavailableError(f"no provider {provider!r}; available: {', '.join(self.providers())}")
        providers = [provider] if provider == CPU else [provider, CPU]
        session = self._ort.InferenceSession(str(path), self._session_options(options), providers=providers)
        feed = fill_inputs(inputs)
        if provider in CUDA_PROVIDERS:
            # A provider that fails to start is dropped with a log line only: never time the CPU in its name.
            if provider not in session.get_providers():
                raise UnavailableError(f"{provider} did not start; running: {session.get_providers()}")
            return CudaRunner(self._ort, session, feed)
        return HostRunner(session, feed)

    def operator_times(
        self, path: Path, inputs: Sequence[InputSpec], options: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        provider = options.get("provider", CPU)
        providers = [provider] if provider == CPU else [provider, CPU]
        settings = self._session_options(options)
        settings.enable_profiling = True
        with tempfile.TemporaryDirectory() as folder:
            settings.profile_file_prefix = str(Path(folder) / "profile")
            session = self._ort.InferenceSession(str(path), settings, providers=providers)
            feed = fill_inputs(inputs)
            for _ in range(PROFILE_WARMUP + PROFILE_RUNS):
                session.run(None, feed)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return sum_operators(events)

    def _session_options(self, options: Mapping[str, Any]) -> Any:
        level = options.get("graph_optimization", "all")
        if level not in OPTIMIZATION_LEVELS:
            raise UnavailableError(
                f"no graph_optimization {level!r}; there are {', '.join(OPTIMIZATION_LEVELS)}"
            )
        made = self._ort.SessionOptions()
        made.intra_op_num_threads = int(options.get("threads", 1))
        made.inter_op_num_threads = 1
        made.execution_mode = self._ort.ExecutionMode.ORT_SEQUENTIAL
        made.graph_optimization_level = getattr(self._ort.GraphOptimizationLevel, OPTIMIZATION_LEVELS[level])
        made.log_severity_level = LOG_ERRORS
        return made


def sum_operators(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean time of every kind of operator in one inference, out of ONNX Runtime's profile, slowest first.

    Its events are in the order of execution and in microseconds; every operator has one an inference.
    """
    kernels = [event for event in events if str(event.get("name", "")).endswith(KERNEL_TIME)]
    operators = len({event["name"] for event in kernels})
    time_us: Counter[str] = Counter()
    names: dict[str, set[str]] = {}
    for event in kernels[operators * PROFILE_WARMUP :]:
        kind = event["args"]["op_name"]
        time_us[kind] += event["dur"]
        names.setdefault(kind, set()).add(event["name"])
    return [
        {"op": kind, "count": len(names[kind]), "ms": total / PROFILE_RUNS / 1e3}
        for kind, total in time_us.most_common()
    ]


class HostRunner:
    """Inputs and outputs in host memory.

    This is the plain `session.run`, not an I/O binding: on the CPU a binding saves a constant 3–4 µs of
    checks and output objects, which would put the figure of a 100 µs network 3 % below what its user will
    see. The networks a search looks at run for 50 µs and more, so that constant never dominates.
    """

    def __init__(self, session: Any, feed: dict[str, np.ndarray[Any, Any]]) -> None:
        self._session = session
        self._feed = feed
        self._names = [output.name for output in session.get_outputs()]

    def run(self) -> object:
        return self._session.run(self._names, self._feed)

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        return list(self._session.run(self._names, self._feed))

    def close(self) -> None:
        del self._session


class CudaRunner:
    """Inputs and outputs bound on the device: the copies between host and device are not timed."""

    def __init__(self, ort: Any, session: Any, feed: dict[str, np.ndarray[Any, Any]]) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._inputs = [
            (name, ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0)) for name, array in feed.items()
        ]
        for name, value in self._inputs:
            self._binding.bind_ortvalue_input(name, value)
        for output in session.get_outputs():
            self._binding.bind_output(output.name, "cuda", 0)
        self._binding.synchronize_inputs()

    def run(self) -> object:
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return None

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        self.run()
        return list(self._binding.copy_outputs_to_cpu())

    def close(self) -> None:
        del self._binding, self._session
