"""Search spaces: what can be chosen, how it is encoded, and the networks it stands for."""

from modnas.core.architecture import Architecture, ArchitectureError
from modnas.core.space import Space
from modnas.core.supernetwork import Supernetwork
from modnas.spaces.registry import get_space, space_names

__all__ = ["Architecture", "ArchitectureError", "Space", "Supernetwork", "get_space", "space_names"]
