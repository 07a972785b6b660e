"""Search spaces: what can be chosen, how it is encoded, and the networks it stands for."""

from modnas.core.architecture import Architecture, ArchitectureError
from modnas.core.preset import Preset, Recipe
from modnas.core.space import Space
from modnas.core.supernetwork import Supernetwork
from modnas.spaces.registry import get_space, space_names, space_presets

__all__ = [
    "Architecture",
    "ArchitectureError",
    "Preset",
    "Recipe",
    "Space",
    "Supernetwork",
    "get_space",
    "space_names",
    "space_presets",
]
