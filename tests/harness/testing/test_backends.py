"""The built-in backends pass what is asked of other packages', and the checks find what is wrong."""

from __future__ import annotations

from typing import ClassVar

import pytest

from harness.backends import Backend, BackendOptions, get_backend
from harness.devices.backends import BACKENDS
from harness.testing import check_backend
from harness.testing.backends import check_agent_source, check_description


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKENDS.built_in)
def test_built_in_backends_conform(name: str) -> None:
    check_backend(name)


@pytest.mark.slow
def test_eight_bits_conform() -> None:
    check_backend("onnxruntime", options={"quantize": "int8"})


class Sourced(Backend):
    """A backend with an agent's side of a test's."""

    name: ClassVar[str] = "sourced"
    source = b"def backend(): ..."

    def agent_source(self) -> bytes:
        return self.source


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import numpy\ndef backend(): ...", "import numpy in backend"),
        ("from . import base\ndef backend(): ...", "lies elsewhere"),
        ("def other(): ...", r"no function backend\(\)"),
        ("from harness.backends import Backend\ndef backend(): ...", "import harness in backend"),
    ],
)
def test_an_agents_side_that_would_fail_on_a_board_is_found(source: str, says: str) -> None:
    backend = Sourced()
    check_agent_source(backend)
    backend.source = source.encode()
    with pytest.raises(AssertionError, match=says):
        check_agent_source(backend)


def test_newer_python_than_the_agents_is_found() -> None:
    backend = Sourced()
    backend.source = b"def backend():\n    match 3:\n        case 3: ..."
    with pytest.raises(SyntaxError, match=r"3\.10"):
        check_agent_source(backend)


def test_options_that_cannot_be_told_to_the_agent_are_found() -> None:
    class Untold(Sourced):
        agent_options = ("threads", "affinity", "speed")

    with pytest.raises(AssertionError, match="speed"):
        check_description(Untold())


def test_options_have_defaults() -> None:
    class Needy(BackendOptions):
        speed: int

    class Unset(Sourced):
        options = Needy

    with pytest.raises(AssertionError, match="default"):
        check_description(Unset())


def test_the_agents_and_the_hosts_backends_are_the_same() -> None:
    from modnas_agent.backends import backend_names

    # The synthetic one measures the instrument itself, not networks.
    assert set(backend_names()) == {*BACKENDS.built_in, "synthetic"}
    assert [get_backend(name).name for name in BACKENDS.built_in] == BACKENDS.built_in
