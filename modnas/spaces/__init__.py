"""Search spaces: what can be chosen, how it is encoded, and the networks it stands for."""

from modnas.spaces.base import Architecture, ArchitectureError, Space, Supernetwork
from modnas.spaces.registry import get_space, space_names

__all__ = ["Architecture", "ArchitectureError", "Space", "Supernetwork", "get_space", "space_names"]
