"""What a network cannot have caused ends the run with exit 3 and stores nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from attack_environment import (
    assert_measures,
    assert_refused,
    break_runtime,
    command,
    mounted,
    rows,
    write_device,
)
from integration_home import Home

from harness.cli import main
from harness.store import Measurement, Store

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
needs_cpus = pytest.mark.skipif(
    not {0, 1} <= os.sched_getaffinity(0), reason="CPUs 0 and 1 are needed, so that one can be taken away"
)

#: What is done to the runtime, and what is said.
BROKEN_RUNTIMES = {
    "a library of the runtime is missing": (
        "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')",
        "libgomp.so.1",
    ),
    "importing raises something else": ("raise RuntimeError('no licence')", "no licence"),
    "importing ends the process": ("os._exit(7)", "exit code 7"),
    "importing crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "-m pip install 'onnxruntime!="),
    "the processor is too old": ("os.kill(os.getpid(), signal.SIGILL)", "lacks an instruction"),
    "no session can be made": (
        "def fail(*_, **__): raise RuntimeError('engine broken')\nonnxruntime.InferenceSession = fail",
        "engine broken",
    ),
    "no session can run": (
        "def fail(*_, **__): raise RuntimeError('engine broken')\nSession.run = fail",
        "engine broken",
    ),
    "every session crashes": ("Session.run = lambda *_: os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "every session hangs": ("Session.run = lambda *_: time.sleep(60)", "1.5 s"),
    "every session exits": ("Session.run = lambda *_: os._exit(5)", "code 5"),
    "every output is wrong": (
        "run = Session.run\nSession.run = lambda *a: [value + 9 for value in run(*a)]",
        "differs",
    ),
    "every output is not a number": (
        "run = Session.run\nSession.run = lambda *a: [value * float('nan') for value in run(*a)]",
        "not finite",
    ),
    "no memory at all": (
        "def fail(*_, **__): raise MemoryError('cannot allocate memory')\nSession.run = fail",
        "memory",
    ),
    "the disk is full": (
        "def fail(*_, **__): raise OSError(28, 'No space left on device')\nSession.run = fail",
        "No space left",
    ),
    "a thread cannot be started": (
        'def fail(*_, **__): raise RuntimeError("can\'t start new thread")\nSession.run = fail',
        "new thread",
    ),
    "too many open files": (
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))",
        "Too many open files",
    ),
    "somebody ends the measuring process": (
        "Session.run = lambda *_: os.kill(os.getpid(), signal.SIGTERM)",
        "SIGTERM",
    ),
    "somebody kills its parent": (
        "Session.run = lambda *_: (os.kill(os.getppid(), signal.SIGKILL), time.sleep(9))",
        "SIGKILL",
    ),
    "somebody moves it to another CPU": (
        "run = Session.run\n"
        "Session.run = lambda *a: (os.sched_setaffinity(0, {0} if 0 not in os.sched_getaffinity(0) "
        "else os.sched_getaffinity(os.getppid())), run(*a))[1]",
        "moved",
    ),
}


@pytest.fixture(autouse=True)
def shaky(home: Home) -> Path:
    """The home folder, with a device that is measured quickly."""
    write_device(home.folder)
    return home.folder


@pytest.mark.parametrize("case", BROKEN_RUNTIMES)
def test_a_broken_runtime(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body, says = BROKEN_RUNTIMES[case]
    if "CPU" in case and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is no other CPU")
    with monkeypatch.context() as broken:
        break_runtime(tmp_path / "fake", body, broken)
        assert_refused(capsys, says)
    if case == "no session can run":
        assert_measures(capsys)


@needs_root
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("os.setuid(65534)", "Permission denied"),
        (
            "import resource\nos.setuid(65534)\nresource.setrlimit(resource.RLIMIT_NPROC, (0, 0))",
            "start a process",
        ),
    ],
    ids=["a file that may not be read", "no process may be started"],
)
def test_a_runtime_without_rights(
    body: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_runtime(tmp_path / "fake", body, monkeypatch)
    assert_refused(capsys, says)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"affinity": [1023]}, "1023"),
        ({"affinity": [0, 4095]}, "4095"),
        ({"provider": "AbsentExecutionProvider"}, "AbsentExecutionProvider"),
    ],
)
def test_options_that_cannot_be_had(
    options: dict[str, Any], says: str, shaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_device(shaky, options=options)
    assert_refused(capsys, says)
    assert main(["devices", "check", "shaky"]) == 3
    assert says in capsys.readouterr().err


@pytest.mark.slow
@needs_cpus
def test_a_cpu_that_taskset_takes_away(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    write_device(home.folder, options={"affinity": [1]})
    environment = {**os.environ, "MODNAS_HOME": str(home.folder), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())", *command(10)]
    done = subprocess.run(
        ["taskset", "-c", "0", *run], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3 and done.stderr.count("\n") == 1, done.stderr
    assert "CPUs [1] are not among the allowed [0]" in done.stderr
    assert rows() == []
    assert_measures(capsys)


@pytest.mark.slow
@needs_cpus
@pytest.mark.parametrize("options", [{"affinity": [1]}, {"threads": 2}], ids=["affinity", "threads"])
def test_fewer_cpus_than_usual(
    shaky: Path, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_device(shaky, options=options)
    usual = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {0})
        assert_refused(capsys, "CPUs", "taskset")
        assert main(["devices", "check", "shaky"]) == 3
    finally:
        os.sched_setaffinity(0, usual)
    assert_measures(capsys)


def test_the_agents_folder_is_no_folder(shaky: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shaky / "agent").write_text("")
    assert main(command()) == 2 and "agent cannot be made" in capsys.readouterr().err
    assert rows() == []
    (shaky / "agent").unlink()
    assert_measures(capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "options", "says"),
    [
        ("agent", "size=4k", "No space left"),
        ("agent", "ro", "Read-only"),
        ("artifacts", "size=4k", "No space left"),
        ("artifacts", "ro", "Read-only"),
    ],
)
def test_a_disk_that_takes_nothing(
    folder: str, options: str, says: str, shaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(shaky / folder, options):
        assert_refused(capsys, says)
    assert_measures(capsys)


@pytest.mark.slow
def test_a_temporary_folder_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_device(shaky, options={"quantize": "int8"})
    with mounted(tmp_path / "full", "size=4k") as folder, monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        assert_refused(capsys, "this machine cannot")
    assert_measures(capsys)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("tvm") is None or importlib.util.find_spec("tvm_ffi") is None,
    reason="TVM is not installed",
)
def test_a_linker_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_device(shaky, backend="tvm")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        assert_refused(capsys, "no cc on this machine", "install that compiler")


@pytest.mark.slow
def test_a_runtime_that_breaks_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = """
def run(self, names, feed):
    if self.__dict__.setdefault("number", None) is None:
        self.number = self.uses
    if self.number > 3:
        raise RuntimeError("GPU has fallen off the bus")
    return self.real.run(names, feed)
Session.run = run
"""
    with monkeypatch.context() as broken:
        break_runtime(tmp_path / "fake", body, broken)
        assert main(command(5)) == 3
        line = capsys.readouterr().err.splitlines()[-1]
        assert "fallen off" in line and "3 measured before are kept" in line
    assert [row.status for row in rows()] == ["ok"] * 3
    assert_measures(capsys, measured=2, archs=5)


@pytest.mark.slow
def test_a_network_that_fails_alone_is_a_row_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = """
def run(self, names, feed):
    if self.__dict__.setdefault("number", None) is None:
        self.number = self.uses
    if self.number == 2:
        raise RuntimeError("unsupported shape")
    return self.real.run(names, feed)
Session.run = run
"""
    with monkeypatch.context() as broken:
        break_runtime(tmp_path / "fake", body, broken)
        assert main(command(3)) == 1
    told = capsys.readouterr().err
    assert "1 of 3 failed: runtime: RuntimeError: unsupported shape" in told
    table = told[told.index("architecture ") :]
    assert "unsupported shape" in table
    assert sorted(row.status for row in rows()) == ["error", "ok", "ok"]
    assert main(command(3)) == 1
    assert "--retry-failed" in capsys.readouterr().err
    assert main([*command(3), "--retry-failed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 1


@pytest.mark.slow
def test_a_sensor_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = tmp_path / "sys" / "class" / "powercap" / "intel-rapl:0"
    domain.mkdir(parents=True)
    for name, value in (("name", "package-0"), ("max_energy_range_uj", "10000000"), ("energy_uj", "5")):
        (domain / name).write_text(value)
    write_device(shaky, power_sensor={"name": "rapl", "sysfs_root": str(tmp_path / "sys"), "window_s": 0.2})
    break_runtime(
        tmp_path / "fake",
        f"run = Session.run\nlost = Path({str(domain / 'energy_uj')!r})\n"
        "Session.run = lambda *a: (lost.unlink(missing_ok=True), run(*a))[1]",
        monkeypatch,
    )
    capsys.readouterr()
    assert main([*command(), "--metrics", "latency,energy"]) == 3
    assert "sensor was lost" in capsys.readouterr().err
    assert rows() == []


#: What older versions stored of networks that were not at fault.
POISON = {
    "runtime": "affinity: CPUs [1] are not among the allowed [0]",
    "artifact": "cannot read x: Permission denied",
    "worker": "the worker's parent ended: SIGKILL",
    "compile": "CompileError: no aarch64-linux-gnu-gcc on this machine",
    "export": "ONNX Runtime cannot quantise the network: No space left on device",
}


def poisoned(row: Measurement, reason: str) -> Measurement:
    """The row as an older version stored it when it blamed the network."""
    kept = ("key", "space", "variant", "arch", "device", "fingerprint", "batch", "backend", "artifact_sha256")
    message = POISON[reason]
    return Measurement(
        **{name: getattr(row, name) for name in kept},
        status="error",
        reason=reason,
        message=message,
        created_at=datetime.now(timezone.utc),
        request={**row.request, "agent_version": "0.0.9"},
        record={"status": "error", "reason": reason, "message": message, "warnings": []},
    )


@pytest.mark.slow
def test_rows_of_old_versions_are_healed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command(5), "--json"]) == 0
    with Store() as store:
        store.add(*(poisoned(row, reason) for row, reason in zip(rows(), POISON, strict=True)))
    capsys.readouterr()
    assert main(command(5)) == 1
    told = capsys.readouterr().err
    assert (
        "5 of 5 failed (5 of them from the store: profile --retry-failed measures them again): 1 x " in told
    )
    for reason, message in POISON.items():
        assert f"{reason}: {message}"[:60] in told, "in the table"
    assert main([*command(5), "--retry-failed", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["measured"], found["failed"], found["failed_reused"]) == (5, 0, 0)
    assert {row.status for row in rows()} == {"ok"}


def test_the_check_tells_what_the_control_was_measured_with(
    shaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cpu = min(os.sched_getaffinity(0))
    write_device(shaky, options={"affinity": [cpu], "threads": 1})
    assert main(["devices", "check", "shaky", "--json"]) == 0
    control = json.loads(capsys.readouterr().out)["control"]
    assert control["cpus"] == [cpu] and control["threads"] == 1 and control["latency_ms"] > 0


def test_a_memory_limit_in_which_nothing_fits_fails_the_check(
    shaky: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shaky / "devices" / "shaky.yaml"
    path.write_text(path.read_text().replace("{precision", "{memory_limit_mb: 1, precision"))
    assert main(["devices", "check", "shaky"]) == 3
    assert "step 'control network' failed" in capsys.readouterr().err
