"""The control: a network that is known to work. When another fails, it tells whose fault that is.

A failure is stored as a network's result only after the control was measured under the same options without
one; where the network's file could not be made, after the control's was made. Else nothing is stored.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from harness.core.errors import DeviceUnavailableError, needed, reworded
from harness.export import Artifact, ArtifactCache, ExportError
from harness.export.exporters import Exporter
from harness.export.prefetch import Prefetcher
from harness.export.tvm.errors import CompileError
from harness.measure.session import DeviceSession
from harness.transport.base import Frame
from modnas.spaces import Architecture, Space, get_space

# Enough for a number; it is not the number that is of interest.
QUICK = {"precision": 0.3, "warmup_s": 0.01, "min_time_s": 0.01, "max_time_s": 0.05, "min_samples": 5}


@cache
def control_network() -> tuple[Space, Architecture]:
    """A few thousand multiply-adds with every operator of NAS-Bench-201."""
    space = get_space("nasbench201", channels=3, cells=1, input_shape=(1, 8, 8))
    return space, space.architecture((3, 1, 2, 3, 4, 1))


def control_file(exporter: Exporter) -> Artifact:
    """The control in the form that an exporter makes. Raises ExportError or CompileError."""
    space, architecture = control_network()
    return exporter.get(space, architecture, 1)


class Control:
    """The control of one open device."""

    def __init__(self, session: DeviceSession, files: Prefetcher) -> None:
        self._session, self._files = session, files
        self._file: Artifact | None = None

    def prepare(self) -> None:
        """Make its file. Raises DeviceUnavailableError when this machine cannot."""
        if self._file is not None:
            return
        try:
            self._file = self._files.run(control_file)
        except (ExportError, CompileError) as error:
            raise DeviceUnavailableError(_no_file(error)) from error

    def measure(self, *, energy: bool = False, per_op: bool = False, **policy: Any) -> Frame:
        """Measure it as the device's profile says; raises DeviceUnavailableError when that fails.

        `policy`: what to change of the profile's.
        """
        self.prepare()
        assert self._file is not None
        result = self._session.measure(
            self._file,
            tolerance=self._files.tolerance,
            energy=energy,
            per_op=per_op,
            policy={**QUICK, **policy},
        )
        if result["status"] != "ok":
            raise DeviceUnavailableError(
                f"device {self._session.profile.name}: a small network that is known to work fails: "
                f"{result.get('reason')}: {result.get('message')}"
            )
        return result

    def believe(self, failure: Frame, *, per_op: bool = False) -> None:
        """Return if a failure on the device is the network's; raises DeviceUnavailableError if it is not.

        A limit of memory in which nothing fits is the profile's wish, not the device's fault: it is lifted.
        """
        try:
            self.measure(per_op=per_op, memory_limit_mb=None)
        except DeviceUnavailableError as error:
            told = f"after a network's {failure.get('reason')}: {failure.get('message')}"
            hint = f"modnas-hw devices check {self._session.profile.name} tells when it works again"
            raise reworded(error, f"{error} ({told}); nothing of it is stored, {hint}") from error

    def believe_making(self, failure: ExportError | CompileError) -> None:
        """Return if it is the network's fault that its file cannot be made; raises DeviceUnavailableError."""
        with needed("make a temporary folder"), tempfile.TemporaryDirectory() as folder:
            try:
                self._files.run(lambda exporter: control_file(exporter.into(ArtifactCache(Path(folder)))))
            except (ExportError, CompileError) as error:
                raise DeviceUnavailableError(_no_file(error)) from failure


def _no_file(error: Exception) -> str:
    return f"this machine cannot make the file of a small network that is known to work: {error}"
