"""Versions of a runtime's packages: chosen by a person, and left out for a CPU."""

from __future__ import annotations

import pytest

from harness.backends import Runtime, get_backend
from harness.backends.runtime import Companion, CpuNeed
from harness.core.errors import UsageError

RUNTIME = Runtime(
    "onnxruntime",
    "ONNX Runtime",
    ("onnxruntime>=1.17", "numpy>=1.21", "helper==3"),
    100,
    cpu_needs=(
        CpuNeed("onnxruntime", "aarch64", ("atomics", "asimddp"), "!=1.21.0"),
        CpuNeed("numpy", "x86_64", ("sse4_2",), "<2.4"),
    ),
    companions=(Companion("onnxruntime", "<1.19", "numpy", "<2"),),
)


def chosen(*texts: str) -> set[str]:
    return set(RUNTIME.chosen(RUNTIME.check_versions(texts)).requirements)


def test_a_version_takes_the_place_of_the_range() -> None:
    assert chosen("onnxruntime==1.20.1") == {"onnxruntime==1.20.1", "numpy>=1.21", "helper==3"}
    assert chosen("OnnxRuntime == 1.20.1", "numpy==2.0.2") == {
        "onnxruntime==1.20.1",
        "numpy==2.0.2",
        "helper==3",
    }
    assert chosen("onnxruntime", "helper==3") == set(RUNTIME.requirements)
    assert RUNTIME.chosen(("onnxruntime==1.20.1",)).identity != RUNTIME.identity
    assert RUNTIME.chosen(()).identity == RUNTIME.identity


def test_what_a_version_needs_beside_it_comes_along() -> None:
    assert "numpy<2,>=1.21" in chosen("onnxruntime==1.16.3")
    assert "numpy==2.0.2" in chosen("onnxruntime==1.16.3", "numpy==2.0.2"), "whoever chooses both gets both"
    assert "numpy>=1.21" in chosen("onnxruntime==1.19.2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("onnxruntime>=1.20", "is no version of a package"),
        ("onnxruntime==1.*", "is no version of a package"),
        ("onnxruntime==1.20.1,<2", "is no version of a package"),
        ("onnxruntime[gpu]==1.20.1", "is no version of a package"),
        ("onnxruntime @ http://elsewhere/x.whl", "is no version of a package"),
        ("--index-url=http://elsewhere", "is no version of a package"),
        ("onnxruntime==1.20.1; python_version<'3'", "is no version of a package"),
        ("", "is no version of a package"),
        ("onnxruntime===x y", "is no version of a package"),
        (
            "tensorflow==2.0",
            "needs no tensorflow; versions can be chosen of onnxruntime and numpy and helper",
        ),
        ("helper==4", "needs helper==3, the version that this machine has, not helper==4"),
    ],
)
def test_what_is_no_version_is_refused(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        RUNTIME.check_versions([text])
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_versions_that_the_cpu_cannot_run_are_left_out() -> None:
    assert set(RUNTIME.on_cpu("aarch64", ["atomics"]).requirements) == {
        "onnxruntime!=1.21.0,>=1.17",
        "numpy>=1.21",
        "helper==3",
    }
    assert "numpy<2.4,>=1.21" in RUNTIME.on_cpu("x86_64", ["sse4_2"]).requirements
    for machine, lacking in (("aarch64", []), ("aarch64", ["sse4_2"]), ("riscv64", ["atomics"])):
        assert RUNTIME.on_cpu(machine, lacking) == RUNTIME


def test_a_chosen_version_that_the_cpu_cannot_run_is_told() -> None:
    made = RUNTIME.chosen(("onnxruntime==1.21.0",))
    found = made.impossible("aarch64", ["asimddp"])
    assert found is not None and found[0] == "onnxruntime==1.21.0" and "asimddp" in found[1].flags
    assert made.impossible("aarch64", []) is None and made.impossible("x86_64", ["sse4_2"]) is None
    assert RUNTIME.chosen(("onnxruntime==1.21.1",)).impossible("aarch64", ["asimddp"]) is None
    assert RUNTIME.impossible("aarch64", ["asimddp"]) is None, "another one is taken by itself"


def test_what_is_known_of_onnx_runtime_can_be_used() -> None:
    runtime = get_backend("onnxruntime").runtime()
    for machine, text in runtime.plain.items():
        assert runtime.check_versions([text]) == (text,)
        assert runtime.chosen([text]).impossible(machine, runtime.cpu_flags) is None
