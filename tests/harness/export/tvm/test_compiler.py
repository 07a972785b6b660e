"""TVM: compiled beside the harness, run by the runtime alone, tuned into a database."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from harness_helpers import TINY
from modnas_agent.backends import load_backend
from modnas_agent.backends.base import UnavailableError
from tvm_alone import run_alone

from harness.backends.tvm_exporter import TvmExporter, copy_database, tuning_folder
from harness.cli import main
from harness.core.errors import UsageError
from harness.core.lock import InUseError, locked
from harness.devices.profile import DeviceProfile, MeasurementPolicy
from harness.export import Artifact, ArtifactCache
from harness.export.tvm.compiler import Compiler
from harness.export.tvm.errors import CompileError
from harness.measure import tuning
from harness.measure.profiling import profile_device
from harness.store import Store
from modnas.spaces import Space

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tvm") is None or importlib.util.find_spec("tvm_ffi") is None,
    reason="TVM is not installed",
)
POLICY = MeasurementPolicy(
    precision=0.3, warmup_s=0.01, min_time_s=0.01, max_time_s=0.05, min_samples=5, timeout_s=60.0
)
BOARD = DeviceProfile(name="board", backend="tvm", policy=POLICY)


@pytest.fixture(scope="module")
def compiler() -> Iterator[Compiler]:
    """One that has imported TVM already."""
    with Compiler() as made:
        yield made


@pytest.fixture
def network(space: Space, tmp_path: Path) -> Artifact:
    """A small network as ONNX."""
    return ArtifactCache(tmp_path).get(space, space.references[0], 1)


@pytest.mark.slow
def test_the_host_target_names_its_cpu(compiler: Compiler) -> None:
    target, version = compiler.host()
    assert target["kind"] == "llvm" and target["mcpu"] not in ("", "generic")
    assert version.startswith("0.")


@pytest.mark.slow
def test_a_library_needs_the_runtime_alone(compiler: Compiler, network: Artifact, tmp_path: Path) -> None:
    library = tmp_path / "network.so"
    built = compiler.compile(network.path, library, compiler.host()[0], None)
    assert not built["tuned"] and built["operators"] > 5 and built["seconds"] > 0
    np.testing.assert_allclose(
        run_alone(library, network.inputs[0].shape), network.expected, rtol=0, atol=1e-4
    )


def test_what_cannot_be_compiled_is_one_error_and_the_compiler_lives(
    compiler: Compiler, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    compiler.host()  # its process runs now
    pids = [child.pid for child in psutil.Process().children()]
    with pytest.raises(CompileError) as caught:
        compiler.compile(broken, tmp_path / "x.so", {"kind": "llvm"}, None)
    assert "\n" not in str(caught.value) and "Traceback" in caught.value.log
    assert [child.pid for child in psutil.Process().children()] == pids


@pytest.mark.slow
def test_a_crash_of_the_compiler_is_an_error_and_the_next_one_works(
    network: Artifact, tmp_path: Path
) -> None:
    with Compiler() as compiler:
        before = {child.pid for child in psutil.Process().children()}
        compiler.host()
        (worker,) = [child for child in psutil.Process().children() if child.pid not in before]
        worker.kill()
        with pytest.raises(CompileError, match="signal 9"):
            compiler.compile(network.path, tmp_path / "x.so", {"kind": "llvm"}, None)
        assert compiler.host()[0]["kind"] == "llvm"


@pytest.mark.slow
def test_a_failed_build_is_a_row(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_, bad = Compiler.compile, ArtifactCache().get(space, space.references[0], 1).path

    def crash(compiler: Compiler, model: Path, *rest: Any) -> dict[str, Any]:
        if model == bad:
            raise CompileError("the compiler ended with signal 11", "the log")
        return compile_(compiler, model, *rest)

    monkeypatch.setattr(Compiler, "compile", crash)
    with Store() as store:
        report = profile_device(BOARD, space, space.references[:1], store)
    (row,) = report.rows
    assert (row.status, row.reason) == ("error", "compile") and "signal 11" in str(row.message)
    assert row.record["build"]["log"] == "the log" and row.latency_ms is None


@pytest.mark.slow
@pytest.mark.timeout(900)  # its tuning takes turns with the tests beside it
def test_a_cell_is_measured_untuned_then_tuned(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "BARREN", 0)  # the operators of one network are enough here
    monkeypatch.setattr(tuning, "MOST_ARCHITECTURES", 1)
    cell = space.references[:1]
    with Store() as store:
        plain = profile_device(BOARD, space, cell, store).rows[0]
        assert plain.status == "ok", plain.message
        first = tuning.tune(BOARD, space, 2, limit_s=0)
        assert (first.tuned, first.reused, first.failed) == (1, 0, {}) and first.left > 3
        assert 1 <= first.trials <= 2 and all(value > 0 for value in first.best_ms.values())
        again = tuning.tune(BOARD, space, 2, limit_s=0)
        assert (again.tuned, again.reused, again.tasks) == (1, 1, first.tasks)
        tuned = profile_device(BOARD, space, cell, store).rows[0]
    assert plain.record["build"]["tuned"] is False and tuned.record["build"]["tuned"] is True
    assert 0 < tuned.record["build"]["tuned_operators"] < tuned.record["build"]["operators"]
    assert plain.max_abs_diff is not None and plain.max_abs_diff < 1e-4
    assert tuned.max_abs_diff is not None and tuned.max_abs_diff < 1e-4
    assert tuned.key != plain.key and tuned.request["options"]["tuning"]
    assert tuned.request["options"]["target"]["mcpu"] == first.target["mcpu"]


@pytest.mark.slow
def test_one_process_tunes_into_a_database(space: Space) -> None:
    with closing(TvmExporter(ArtifactCache(), BOARD)) as exporter:
        folder = tuning_folder(BOARD, space, exporter.target)
    folder.mkdir()
    with locked(folder, "the test"), pytest.raises(InUseError, match=f"{folder.name} is in use by process"):
        tuning.tune(BOARD, space, 1, limit_s=0)
    assert [path.name for path in folder.iterdir()] == ["lock.json"]


def test_a_database_that_grows_meanwhile_is_copied_in_whole_lines(tmp_path: Path) -> None:
    assert not copy_database(tmp_path / "absent", tmp_path / "copy")
    (tmp_path / "database_workload.json").write_text("[1]\n[2]\n")
    (tmp_path / "database_tuning_record.json").write_text("[0, 1]\n[1, ")
    assert copy_database(tmp_path, tmp_path / "copy")
    assert (tmp_path / "copy" / "database_tuning_record.json").read_text() == "[0, 1]\n"
    assert (tmp_path / "copy" / "database_workload.json").read_text() == "[1]\n[2]\n"


def test_only_tvm_is_tuned(space: Space) -> None:
    with pytest.raises(UsageError, match="only tvm"):
        tuning.tune(DeviceProfile(name="board"), space, 1)


@pytest.mark.usefixtures("fake_agents")
def test_without_tvm_one_line_says_so_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tvm" else find(name, *rest)
    )
    command = ["profile", "--device", "cpu", "--archs", "1", *TINY]
    assert main([*command, "--backend", "tvm"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(said) == 1 and "pip install" in said[0] and "TVM is not installed" in said[0]
    assert main(command) == 0


def test_a_board_without_the_runtime_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODNAS_TVM_RUNTIME", str(tmp_path / "nowhere.so"))
    with pytest.raises(UnavailableError, match="libtvm_runtime"):
        load_backend("tvm")
    monkeypatch.setitem(sys.modules, "tvm_ffi", None)
    with pytest.raises(UnavailableError, match="tvm cannot be imported"):
        load_backend("tvm")


def test_a_remote_device_must_name_its_target(tmp_path: Path) -> None:
    remote = BOARD.model_copy(update={"transport": "ssh"})
    with pytest.raises(UsageError, match=r"options\.target"):
        _ = TvmExporter(ArtifactCache(tmp_path), remote).target
