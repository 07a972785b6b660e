"""Conformance checks of what other packages offer, to be called in their tests; `docs/plugins.md` shows how.

    from harness.testing import check_backend

    def test_backend():
        check_backend("my-backend")

Each check raises AssertionError and says what is wrong.
"""

from harness.testing.accuracies import check_accuracy
from harness.testing.backends import check_backend
from harness.testing.devices import check_device
from harness.testing.metrics import check_metric
from harness.testing.sensors import check_sensor

__all__ = ["check_accuracy", "check_backend", "check_device", "check_metric", "check_sensor"]
