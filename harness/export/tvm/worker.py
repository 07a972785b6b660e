"""The process that has TVM: requests as JSON lines on stdin, one answer each on stdout.

    {"op": "host"}                                               -> {"target", "version"}
    {"op": "compile", "model", "output", "target", "database"}   -> {"operators", "tuned_operators", …}
    {"op": "collect", "model", "target"}                         -> {"tasks": {key: name}}
    {"op": "tune", "task", "trials", "seed", "folder"}           -> {"tried", "best_ms"}

While it tunes it sends {"measure": {"library", "entry", "shapes", "dtypes"}} and is answered
{"seconds"} or {"failed"}: the one that started it knows the device. An answer {"error": text} refuses a
request; {"unable": text} says that it is this machine's fault. What TVM prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from modnas_agent.foreign_words import meaning_of

from harness.core.errors import DeviceUnavailableError

# Before TVM is imported: its FFI would load PyTorch, for seconds, and compile an extension for it.
os.environ["TVM_FFI_DISABLE_TORCH_C_DLPACK"] = "1"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules["torch"] = None  # type: ignore[assignment]

Frame = dict[str, Any]


class Worker:
    """Answers requests until stdin ends."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._input = sys.stdin
        from harness.export.tvm import graph
        from harness.export.tvm.tune import Tuner

        self._graph = graph
        self._tuner = Tuner()
        self._operations: dict[str, Callable[[Frame], Frame]] = {
            "host": self._host,
            "compile": self._compile,
            "collect": self._collect,
            "tune": self._tune,
        }

    def serve(self) -> None:
        """Answer every request; errors are answers too."""
        for request in self._requests():
            try:
                answer = self._operations[request["op"]](request)
            except (DeviceUnavailableError, OSError, MemoryError) as error:
                traceback.print_exc()
                answer = {"unable": " ".join(str(error).split()) or type(error).__name__}
            except Exception as error:
                traceback.print_exc()
                said = [line for line in str(error).strip().splitlines() if line.strip()]
                told = meaning_of(str(error)) or (said[-1].strip() if said else "no message")
                answer = {"error": f"{type(error).__name__}: {told}"}
            self._send(answer)

    def _requests(self) -> Iterator[Frame]:
        for line in iter(self._input.readline, ""):
            yield json.loads(line)

    def _send(self, frame: Frame) -> None:
        self._output.write(json.dumps(frame) + "\n")
        self._output.flush()

    def _host(self, _request: Frame) -> Frame:
        import tvm

        return {"target": self._graph.host_target(), "version": str(tvm.__version__)}

    def _compile(self, request: Frame) -> Frame:
        database = request.get("database")
        return self._graph.compile_library(
            Path(request["model"]),
            Path(request["output"]),
            request["target"],
            Path(database) if database else None,
        )

    def _collect(self, request: Frame) -> Frame:
        return {"tasks": self._tuner.collect(Path(request["model"]), request["target"])}

    def _tune(self, request: Frame) -> Frame:
        return self._tuner.tune(
            request["task"], request["trials"], request["seed"], Path(request["folder"]), self._measure
        )

    def _measure(self, library: Path, shapes: list[list[int]], dtypes: list[str]) -> float | str:
        """Seconds a call on the device, or why there are none."""
        asked = {"library": str(library), "entry": "main", "shapes": shapes, "dtypes": dtypes}
        self._send({"measure": asked})
        answer: Frame = json.loads(self._input.readline())
        return float(answer["seconds"]) if "seconds" in answer else str(answer.get("failed"))


def main() -> None:
    """Keep stdout for answers and serve."""
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        Worker(output).serve()


if __name__ == "__main__":
    main()
