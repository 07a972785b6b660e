"""Methods to compare the search with, one a file, all behind one signature."""

from modnas.baselines.base import BaselineError, Models, Problem, Proposals
from modnas.baselines.registry import Method, get_method, method_names

__all__ = ["BaselineError", "Method", "Models", "Problem", "Proposals", "get_method", "method_names"]
