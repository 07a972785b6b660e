"""Failures of the libraries that make a network's file: whose fault they are."""

from __future__ import annotations

import pytest

from harness.core.errors import DeviceUnavailableError
from harness.export.foreign import at_fault
from harness.export.onnx_graph import ExportError
from harness.export.tvm.compiler import Compiler
from harness.export.tvm.errors import CompileError, CompilerKilledError


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ExportError("ONNX Runtime cannot quantise the network: No space left on device"), ""),
        (CompileError("RuntimeError: no message"), "ld: final link failed: No space left on device"),
        (CompilerKilledError("the compiler ended with signal 15"), "Too many open files"),
    ],
)
def test_a_full_disk_is_this_machines_fault(failure: ExportError | CompileError, said: str) -> None:
    found = at_fault(failure, said)
    assert isinstance(found, DeviceUnavailableError) and found.exit_code == 3
    assert str(found) == f"this machine cannot make the network's file: {failure}"


def test_a_refused_network_stays_what_it_is() -> None:
    failure = CompileError("the operator is not supported", "a long log")
    assert at_fault(failure, failure.log) is failure


def test_what_the_compiler_says_of_the_disk_is_no_failure_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control network is not needed to find out, and may be in the cache already."""
    compiler = Compiler()
    monkeypatch.setattr(Compiler, "_exchange", lambda *_: {"error": "RuntimeError: linking failed"})
    monkeypatch.setattr(Compiler, "log", lambda _: "ld: cannot write: No space left on device")
    with compiler:
        if not _starts(compiler):
            pytest.skip("no TVM here")
        with pytest.raises(DeviceUnavailableError, match="cannot make the network's file"):
            compiler.ask({"op": "compile"})


def _starts(compiler: Compiler) -> bool:
    try:
        compiler._started()
    except Exception:
        return False
    return True
