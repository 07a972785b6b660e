"""MetaSchedule over operators, one at a time. Imported by the worker process only."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.builder import BuilderResult, PyBuilder
from tvm.s_tir.meta_schedule.runner import PyRunner, PyRunnerFuture, RunnerResult
from tvm.s_tir.meta_schedule.search_strategy import EvolutionarySearch
from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

from harness.core.errors import DeviceUnavailableError
from harness.export.tvm.graph import EQUALITY, Target, link, lower
from harness.export.tvm.intrinsics import load_intrinsics

# (library, shapes of the arguments, their types) -> seconds a call, or why there are none.
Measure = Callable[[Path, list[list[int]], list[str]], float | str]

# Half of the trials are drawn, half are mutations of the best of them. MetaSchedule's own population of 512
# is meant for thousands of trials and a learnt cost model; here it would take longer than measuring, and so
# would more than a few candidates a trial.
ROUNDS = 2
POPULATION = 48
CANDIDATES_A_TRIAL = 4


@derived_object
class _Builder(PyBuilder):  # type: ignore[misc]
    """Builds candidates in this process, into libraries in one folder."""

    def __init__(self, folder: Path, target: Target) -> None:
        super().__init__()
        self.folder, self.target, self.built = folder, target, 0

    def build(self, build_inputs: list[Any]) -> list[Any]:
        return [self._build(item) for item in build_inputs]

    def _build(self, item: Any) -> Any:
        self.built += 1
        path = self.folder / f"{self.built}.so"
        try:
            module = RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(item.mod)
            link(tvm.driver.build(module, target=item.target), path, self.target)
        except (DeviceUnavailableError, OSError, MemoryError):  # every other one would fail, too
            raise
        except Exception as error:  # a schedule that cannot be built is a failed trial
            return BuilderResult(None, str(error))
        return BuilderResult(str(path), None)


@derived_object
class _Done(PyRunnerFuture):  # type: ignore[misc]
    """A result that is there."""

    def __init__(self, found: float | str) -> None:
        super().__init__()
        self.found = found

    def done(self) -> bool:
        return True

    def result(self) -> Any:
        if isinstance(self.found, str):
            return RunnerResult(None, self.found)
        return RunnerResult([self.found], None)


@derived_object
class _Runner(PyRunner):  # type: ignore[misc]
    """Has candidates measured on the device."""

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.measure = measure
        self.best_s: float | None = None

    def run(self, runner_inputs: list[Any]) -> list[Any]:
        return [_Done(self._run(item)) for item in runner_inputs]

    def _run(self, item: Any) -> float | str:
        shapes = [[int(size) for size in argument.shape] for argument in item.args_info]
        path = Path(str(item.artifact_path))
        found = self.measure(path, shapes, [str(argument.dtype) for argument in item.args_info])
        path.unlink()
        if not isinstance(found, str):
            self.best_s = found if self.best_s is None else min(self.best_s, found)
        return found


def _reduces(module: Any) -> bool:
    """Whether an operator sums over something, like convolution and pooling: the others gain nothing."""
    schedule = tvm.s_tir.Schedule(module)
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    kinds = (axis.iter_type for block in blocks for axis in schedule.get(block).iter_vars)
    return any(kind == tvm.tirx.IterVar.CommReduce for kind in kinds)


class Tuner:
    """Distinct operators of the networks shown to it, and their tuning.

    Operators that differ only in what is fused to them count as one, and share their schedule.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Any] = {}
        self._keys = meta_schedule.database.MemoryDatabase(module_equality=EQUALITY)
        self._target: Target = {}

    def collect(self, path: Path, target: Target) -> dict[str, str]:
        """Take in a network's operators; key and name of those not met before."""
        self._target = target
        found = {}
        extract = meta_schedule.relax_integration.extract_tasks
        for task in extract(lower(path, target), tvm.target.Target(target), module_equality=EQUALITY):
            module = task.dispatched[0]
            if self._keys.has_workload(module):
                continue
            self._keys.commit_workload(module)
            if _reduces(module):
                key = f"{tvm_ffi.structural_hash(module) % 2**64:016x}"
                self._tasks[key] = task
                found[key] = str(task.task_name)
        return found

    def tune(self, key: str, trials: int, seed: int, folder: Path, measure: Measure) -> dict[str, Any]:
        """Measure up to `trials` schedules of an operator and add them to the database in `folder`.

        Returns:
            `tried`: how many were measured or failed; `best_ms`: the fastest of them.
        """
        load_intrinsics()
        task = self._tasks[key]
        population = min(POPULATION, CANDIDATES_A_TRIAL * trials)
        context = meta_schedule.TuneContext(
            mod=task.dispatched[0],
            target=task.target,
            space_generator="post-order-apply",
            search_strategy=EvolutionarySearch(
                population_size=population,
                init_min_unmeasured=min(population, trials),
                genetic_num_iters=1,
                genetic_max_fail_count=4,
            ),
            task_name=task.task_name,
            rand_state=seed + 1,  # zero and less ask for a random one
            num_threads=1,
        ).clone()
        with tempfile.TemporaryDirectory() as libraries:
            builder, runner = _Builder(Path(libraries), self._target), _Runner(measure)
            meta_schedule.tune.tune_tasks(
                tasks=[context],
                task_weights=[1.0],
                work_dir=str(folder),
                max_trials_global=trials,
                num_trials_per_iter=-(-trials // ROUNDS),
                builder=builder,
                runner=runner,
                database=meta_schedule.database.JSONDatabase(work_dir=str(folder), module_equality=EQUALITY),
                cost_model="random",
                task_scheduler="round-robin",
                module_equality=EQUALITY,
                measure_callbacks=[meta_schedule.measure_callback.AddToDatabase()],
            )
            best_s = runner.best_s
            return {"tried": builder.built, "best_ms": None if best_s is None else best_s * 1e3}
