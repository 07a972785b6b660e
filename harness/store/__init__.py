"""The store of measurements and evaluations."""

from harness.store.models import Evaluation, ImportedTable, Measurement, TableRemoval
from harness.store.rows import StoredRows
from harness.store.store import ERROR_METRIC, Store, StoreError, content_key

__all__ = [
    "ERROR_METRIC",
    "Evaluation",
    "ImportedTable",
    "Measurement",
    "Store",
    "StoreError",
    "StoredRows",
    "TableRemoval",
    "content_key",
]
