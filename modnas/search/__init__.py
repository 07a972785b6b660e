"""The search (Algorithm 1 of the MODNAS paper), its parts one idea a file."""

from modnas.core.task import TaskLoss
from modnas.search.config import SearchConfig
from modnas.search.devices import SearchDevice
from modnas.search.search import Search
from modnas.search.stats import EpochStats, Validation

__all__ = ["EpochStats", "Search", "SearchConfig", "SearchDevice", "TaskLoss", "Validation"]
