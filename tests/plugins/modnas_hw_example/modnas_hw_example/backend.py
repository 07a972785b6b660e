"""ONNX's reference implementation, which runs an ONNX file operator by operator with NumPy."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files

from harness.backends import Backend, BackendOptions, Runtime


class ReferenceOptions(BackendOptions):
    """`copy_inputs`: each inference takes a copy of its inputs, as for a caller who keeps them."""

    copy_inputs: bool = False


class Reference(Backend):
    """See `harness.backends.Backend`."""

    name = "reference"
    options = ReferenceOptions
    agent_options = ("threads", "affinity", "copy_inputs")

    def runtime(self) -> Runtime:
        return Runtime(self.name, "ONNX's reference", ("onnx>=1.16", "numpy>=1.21"), 100)

    def agent_source(self) -> bytes:
        return files(__package__).joinpath("on_the_board.py").read_bytes()

    def host_version(self) -> str:
        return version("onnx")
