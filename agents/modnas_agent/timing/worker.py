"""One measurement, inside the process that was forked for it."""

from __future__ import annotations

import hashlib
import math
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Sequence

from modnas_agent import errors
from modnas_agent.backends.base import Backend, OperatorProfiler, Runner, UnavailableError
from modnas_agent.board import conditions
from modnas_agent.board.placement import allowed_cpus, check_threads, choose_cpus, pin
from modnas_agent.errors import MeasureError
from modnas_agent.files import status_mb
from modnas_agent.foreign_errors import reason_of
from modnas_agent.timing.energy_window import run_window
from modnas_agent.timing.sampling import sample, warm_up
from modnas_agent.timing.summary import latency_summary, warnings
from modnas_agent.wire.request import MeasureRequest, WindowPlan

if TYPE_CHECKING:
    import numpy as np

Emit = Callable[[Dict[str, Any]], None]
PROGRESS_INTERVAL_S = 0.5


def measure(backend: Backend, request: MeasureRequest, emit: Emit) -> dict[str, Any]:
    """Measure and return the outcome: the result frame's fields, or status error with a reason.

    `emit` is given {"kind": "before"} once, {"kind": "progress"} at most twice a second, and
    {"kind": "window"} when the energy window is about to begin.
    """
    try:
        return _measure(backend, request, emit)
    except MeasureError as error:
        reason, message = error.reason, str(error)
    except MemoryError as error:
        _lift_memory_limit()
        reason, message = errors.MEMORY, str(error) or "out of memory: an allocation failed"
    except UnavailableError as error:
        reason, message = errors.ENVIRONMENT, str(error)
    except Exception as error:
        _lift_memory_limit()
        reason, message = reason_of(error, errors.WORKER), f"{type(error).__name__}: {error}"
    return {"status": "error", "reason": reason, "message": errors.one_line(message)}


def _measure(backend: Backend, request: MeasureRequest, emit: Emit) -> dict[str, Any]:
    progress = Progress(emit)
    path = Path(request.artifact_path)
    check_artifact(path, request.artifact_sha256)
    pinned = _place(request)
    cpus = pinned or allowed_cpus()
    before = conditions.snapshot(cpus)
    emit({"kind": "before", "before": before, "cpus": cpus})
    progress("load", 0, 0.0, None)
    resident_mb = status_mb("VmRSS")
    if request.memory_limit_mb is not None and not backend.uses_device_memory(request.options):
        _limit_memory(request.memory_limit_mb)
    began = time.perf_counter()
    runner = _in_runtime(lambda: backend.load(path, request.inputs, request.options))
    load_ms = 1e3 * (time.perf_counter() - began)

    busy_s, usage = conditions.busy_seconds(cpus), resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    warmup = _in_runtime(lambda: warm_up(runner.run, request.timing, progress))
    difference = check_outputs(_in_runtime(runner.outputs), request.expected, request.tolerance)
    usage_measure = resource.getrusage(resource.RUSAGE_SELF)
    series = _in_runtime(lambda: sample(runner.run, warmup.call_ns, request.timing, progress))
    window_s = time.perf_counter() - start
    _check_still_pinned(pinned)
    busy_after_s, usage_after = conditions.busy_seconds(cpus), resource.getrusage(resource.RUSAGE_SELF)
    peak_mb = status_mb("VmHWM")
    _lift_memory_limit()

    after = conditions.snapshot(cpus)
    after["competing_load"] = conditions.competing_load(
        busy_s, busy_after_s, _cpu_s(usage_after) - _cpu_s(usage), window_s, len(cpus)
    )
    preemptions = usage_after.ru_nivcsw - usage_measure.ru_nivcsw
    window = _energy_window(runner, warmup.call_ns / 1e9, request.window, progress)
    runner.close()
    outcome = {
        **({"energy_window": window} if window else {}),
        "status": "ok",
        "latency": latency_summary(series, warmup),
        "memory_mb": peak_mb,
        "memory_delta_mb": None if peak_mb is None or resident_mb is None else peak_mb - resident_mb,
        "load_time_ms": load_ms,
        "max_abs_diff": difference,
        "before": before,
        "after": after,
        "applied": {"threads": int(request.options.get("threads", 1)), "cpus": pinned},
        "preemptions": preemptions,
        "measure_s": warmup.elapsed_s + series.elapsed_s,
        "warnings": warnings(series, warmup, request.timing, before, after, preemptions=preemptions),
    }
    if request.per_op:
        outcome["per_op"] = _operator_times(backend, path, request)
    return outcome


def _operator_times(backend: Backend, path: Path, request: MeasureRequest) -> list[dict[str, Any]] | None:
    """Taken in a pass of its own, after everything else: recording it would disturb the latency."""
    if not isinstance(backend, OperatorProfiler):
        return None
    found: list[dict[str, Any]] = _in_runtime(
        lambda: backend.operator_times(path, request.inputs, request.options)
    )
    return found


def _energy_window(
    runner: Runner, call_s: float, plan: WindowPlan | None, progress: Progress
) -> dict[str, Any] | None:
    """After everything else, so that it disturbs nothing. The agent is told to read its sensor now."""
    if plan is None:
        return None
    progress.emit({"kind": "window"})
    window: dict[str, Any] = _in_runtime(lambda: run_window(runner.run, call_s, plan, progress))
    return window


def check_artifact(path: Path, sha256: str) -> None:
    """Refuse a file whose content is not what was asked for, before any runtime parses it.

    A file that is damaged or gone can be brought anew; one that may not be read cannot.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    except OSError as error:
        reason = errors.ARTIFACT if isinstance(error, FileNotFoundError) else errors.ENVIRONMENT
        raise MeasureError(reason, f"cannot read the network's file {path}: {error.strerror}") from error
    if digest.hexdigest() != sha256:
        raise MeasureError(
            errors.ARTIFACT, f"{path} is damaged: sha256 {digest.hexdigest()[:12]}…, not {sha256[:12]}…"
        )


def check_outputs(
    outputs: Sequence[np.ndarray[Any, Any]], expected: list[float] | None, tolerance: float
) -> float | None:
    """Largest absolute difference of the first output from `expected`, None when there is none.

    Raises for values that are not finite, and for a difference over `tolerance * max(1, max |expected|)`.
    """
    import numpy as np

    for index, output in enumerate(outputs):
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            bad = int(output.size - np.isfinite(output).sum())
            raise MeasureError(errors.NAN, f"{bad} of {output.size} values of output {index} are not finite")
    if expected is None:
        return None
    if not outputs or outputs[0].size != len(expected):
        found = outputs[0].size if outputs else "no"
        raise MeasureError(errors.MISMATCH, f"the output has {found} values, expected {len(expected)}")
    reference = np.asarray(expected, dtype=np.float64)
    difference = float(np.abs(outputs[0].astype(np.float64).ravel() - reference).max(initial=0.0))
    allowed = tolerance * max(1.0, float(np.abs(reference).max(initial=0.0)))
    if not difference <= allowed or not math.isfinite(difference):
        raise MeasureError(
            errors.MISMATCH, f"the output differs by {difference:.4g}, allowed is {allowed:.4g}"
        )
    return difference


class Progress:
    """Passes progress on, at most twice a second: the host's curiosity must not disturb the measurement."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._next = 0.0

    def __call__(self, phase: str, n: int, elapsed_s: float, half_width: float | None) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_INTERVAL_S
        if half_width is not None and not math.isfinite(half_width):
            half_width = None
        self.emit(
            {"kind": "progress", "phase": phase, "n": n, "elapsed_s": elapsed_s, "half_width": half_width}
        )


def _in_runtime(call: Callable[[], Any]) -> Any:
    """Errors of the runtime under its name; failed allocations and our own errors pass."""
    try:
        return call()
    except (MeasureError, MemoryError, UnavailableError):
        raise
    except Exception as error:
        message = errors.one_line(f"{type(error).__name__}: {error}")
        raise MeasureError(reason_of(error, errors.RUNTIME), message) from error


def _place(request: MeasureRequest) -> list[int] | None:
    threads, affinity = int(request.options.get("threads", 1)), request.options.get("affinity", "auto")
    try:
        check_threads(affinity, threads, allowed_cpus(), os.cpu_count() or 1)
        return pin(choose_cpus(affinity, threads, allowed_cpus()))
    except (ValueError, OSError) as error:
        raise MeasureError(errors.ENVIRONMENT, str(error)) from error


def _check_still_pinned(pinned: list[int] | None) -> None:
    """Raise when this process was moved meanwhile: it is not what was asked for that was measured."""
    if pinned is not None and allowed_cpus() != pinned:
        message = f"the measurement was moved from CPUs {pinned} to {allowed_cpus()}"
        raise MeasureError(errors.ENVIRONMENT, f"{message} by somebody else; measure again")


def _limit_memory(limit_mb: float) -> None:
    """Let private memory grow by `limit_mb` from here. Address space is no measure: runtimes reserve much."""
    data_mb = status_mb("VmData")
    if data_mb is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = int((data_mb + limit_mb) * 2**20)
        resource.setrlimit(resource.RLIMIT_DATA, (soft if hard < 0 else min(soft, hard), hard))


def _lift_memory_limit() -> None:
    """The limit is the network's; telling what became of it needs memory too."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _cpu_s(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def be_expendable() -> None:
    """Settings of a measuring process: first in line for the out-of-memory killer, no core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return  # no such thing here, or not allowed: nothing depends on it
