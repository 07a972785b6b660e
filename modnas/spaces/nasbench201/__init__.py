"""The NAS-Bench-201 cell space."""

from modnas.spaces.nasbench201.space import NasBench201

__all__ = ["NasBench201"]
