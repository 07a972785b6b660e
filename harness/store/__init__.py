"""The store of measurements and evaluations."""

from harness.store.models import Evaluation, Measurement
from harness.store.store import Store, StoreError, content_key

__all__ = ["Evaluation", "Measurement", "Store", "StoreError", "content_key"]
