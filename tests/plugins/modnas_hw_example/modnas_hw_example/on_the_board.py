"""The agent's side of the backend `reference`."""

from __future__ import annotations

from modnas_agent.backends.base import Backend, Runner
from modnas_agent.wire.fill import fill_inputs

DISTRIBUTIONS = ("onnx",)


def backend() -> Backend:
    """Import the runtime."""
    return Reference()


class Reference:
    """See `modnas_agent.backends.base.Backend`."""

    def __init__(self):
        import onnx
        import onnx.reference

        self._onnx = onnx

    def version(self):
        return self._onnx.__version__

    def providers(self):
        return []

    def uses_device_memory(self, options):
        return False

    def load(self, path, inputs, options) -> Runner:
        evaluator = self._onnx.reference.ReferenceEvaluator(str(path))
        return ReferenceRunner(evaluator, fill_inputs(inputs), options.get("copy_inputs", False))


class ReferenceRunner:
    """See `modnas_agent.backends.base.Runner`."""

    def __init__(self, evaluator, feed, copy_inputs):
        self._evaluator, self._feed, self._copy_inputs = evaluator, feed, copy_inputs

    def run(self):
        feed = self._feed
        if self._copy_inputs:
            feed = {name: array.copy() for name, array in feed.items()}
        return self._evaluator.run(None, feed)

    def outputs(self):
        return self.run()

    def close(self):
        del self._evaluator
