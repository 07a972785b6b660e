"""What a runtime must offer to be measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Protocol, Sequence, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from modnas_agent.wire.request import InputSpec


class UnavailableError(Exception):
    """The runtime, or what was asked of it, is not there on this board."""


@runtime_checkable
class Runner(Protocol):
    """A loaded network with its inputs bound."""

    def run(self) -> object:
        """One inference, finished when this returns."""
        ...

    def outputs(self) -> list[np.ndarray[Any, Any]]:
        """The outputs of an inference, on the host."""
        ...

    def close(self) -> None:
        """Free what the runner holds."""
        ...


@runtime_checkable
class OperatorProfiler(Protocol):
    """A backend that can say where a network's time goes."""

    def operator_times(
        self, path: Path, inputs: Sequence[InputSpec], options: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """`{"op": kind, "count": operators of it, "ms": their time in one inference}`, slowest first.

        Recording times makes an inference slower: the sum is no latency.
        """
        ...


@runtime_checkable
class Backend(Protocol):
    """A runtime, made once and inherited by one process per measurement: it starts no threads."""

    def version(self) -> str:
        """The runtime's version."""
        ...

    def providers(self) -> list[str]:
        """Execution providers or targets available here, possibly none."""
        ...

    def uses_device_memory(self, options: Mapping[str, Any]) -> bool:
        """Whether a device maps large ranges into the process, so that its data size says nothing."""
        ...

    def load(self, path: Path, inputs: Sequence[InputSpec], options: Mapping[str, Any]) -> Runner:
        """Load a checked artifact. Raises `UnavailableError` or whatever the runtime raises."""
        ...
