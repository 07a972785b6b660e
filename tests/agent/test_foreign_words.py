"""What libraries and programs say by the paragraph is understood; what is not known stays as it was said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from modnas_agent.backends import UnavailableError, load_backend
from modnas_agent.energy.sensors.base import SensorError, run_command
from modnas_agent.foreign_words import meaning_of, understood

NUMPY_1 = """
A module that was compiled using NumPy 1.x cannot be run in
NumPy 2.2.0 as it may crash. To support both 1.x and 2.x
versions of NumPy, modules must be compiled with NumPy 2.0.
Some module may need to rebuild instead e.g. with 'pybind11>=2.12'.

If you are a user of the module, the easiest solution will be to
downgrade to 'numpy<2' or try to upgrade the affected module.
"""
NUMPY_BROKEN = """

IMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!

Importing the numpy C-extensions failed. This error can happen for
many reasons, often due to issues with your setup or how NumPy was
installed.

    https://numpy.org/devdocs/user/troubleshooting-importerror.html

Please note and check the following:

  * The Python version is: Python3.11 from "/usr/bin/python3"
  * The NumPy version is: "1.26.4"

Original error was: libopenblas.so.0: cannot open shared object file: No such file or directory
"""
PIP_NOTHING = """\
ERROR: Ignored the following versions that require a different python version: 1.20.0 Requires-Python >=3.10
ERROR: Could not find a version that satisfies the requirement onnxruntime>=1.18 (from versions: none)
ERROR: No matching distribution found for onnxruntime>=1.18

[notice] A new release of pip is available: 24.0 -> 25.3
[notice] To update, run: pip install --upgrade pip
"""
PIP_SYSTEM = """\
error: externally-managed-environment

x This environment is externally managed
╰─> To install Python packages system-wide, try apt install
    python3-xyz, where xyz is the package you are trying to
    install.

note: If you believe this is a mistake, please contact your Python installation or OS distribution provider.
hint: See PEP 668 for the detailed specification.
"""
PIP_OFFLINE = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError(\
'<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f9d>: Failed to establish a new connection: \
[Errno -3] Temporary failure in name resolution')': /simple/onnxruntime/
ERROR: Could not find a version that satisfies the requirement onnxruntime (from versions: none)
ERROR: No matching distribution found for onnxruntime
"""
TVM_CHECK = """\
Traceback (most recent call last):
  4: _ZN3tvm7runtime13PackedFuncObj
  File "/workspace/src/target/llvm/llvm_instance.cc", line 302
InternalError: Check failed: (target_->arch == "aarch64") is false: unknown CPU cortex-a999
"""
MEANINGS = {
    NUMPY_1: "another NumPy",
    "numpy.core.multiarray failed to import": "another NumPy",
    "numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C": "another NumPy",
    NUMPY_BROKEN: "libopenblas.so.0 is missing",
    "/lib/libc.so.6: version `GLIBC_2.34' not found (required by /home/pi/x.so)": "GLIBC 2.34",
    "/usr/lib/libstdc++.so.6: version `GLIBCXX_3.4.30' not found (required by y.so)": "GLIBCXX 3.4.30",
    "libgomp.so.1: cannot open shared object file: No such file or directory": "libgomp.so.1 is missing",
    "/x/y.so: wrong ELF class: ELFCLASS64": "64 bits",
    "/home/pi/x.so: failed to map segment from shared object": "noexec",
    "importing onnxruntime ended with SIGILL": "lacks an instruction",
    PIP_NOTHING: "no version of onnxruntime>=1.18 fits",
    PIP_SYSTEM: "python3 -m venv",
    PIP_OFFLINE: "Temporary failure in name resolution",
    "/usr/bin/python3: No module named pip": "python3-pip",
    "SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate is not yet valid": "its clock",
    TVM_CHECK: "unknown CPU cortex-a999",
    "The following operators are not supported for frontend ONNX: Loop, NonMaxSuppression": "Loop, NonMax",
}


@pytest.mark.parametrize("said", MEANINGS, ids=lambda said: " ".join(said.split())[:40])
def test_known_words_become_one_clause(said: str) -> None:
    found = understood(said)
    assert MEANINGS[said] in found and "\n" not in found and len(found) < 200
    assert "Errno" not in found and "PLEASE" not in found and "notice" not in found


def test_what_is_not_known_stays_as_it_was_said() -> None:
    assert meaning_of("the engine is\n broken") is None
    assert understood("the engine is\n broken") == "the engine is broken"


@pytest.mark.parametrize(
    "said",
    [
        "Can't open device file: {device}\nTry creating a device file with: sudo mknod {device} c 100 0\n",
        "* failed to open {device} instance\n",
        "You do not have enough permissions to access the file {device}\n",
    ],
)
def test_a_device_file_of_the_raspberry_pi_is_named_with_its_group(said: str) -> None:
    found = understood(said.format(device="/dev/vcio"))
    assert found.startswith(("/dev/vcio is not there", "no permission to use /dev/vcio; /dev/vcio is of "))


def test_a_command_that_fails_is_told_by_what_it_means(tmp_path: Path) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(
        "#!/bin/sh\necho \"Can't open device file: /dev/vcio\" >&2\necho 'Try mknod' >&2\nexit 255\n"
    )
    program.chmod(0o755)
    with pytest.raises(SensorError, match="/dev/vcio") as caught:
        run_command([str(program)])
    assert "mknod" not in str(caught.value)


def test_a_runtime_whose_import_fails_by_the_paragraph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text(f"raise ImportError({NUMPY_BROKEN!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(UnavailableError, match="onnxruntime cannot be imported: NumPy cannot be imported: "):
        load_backend("onnxruntime")
