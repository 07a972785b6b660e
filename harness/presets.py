"""Named sets of search settings: each space brings its own."""

from __future__ import annotations

from harness.core.errors import UsageError
from modnas.core.preset import Preset, Recipe
from modnas.spaces import space_presets

__all__ = ["HYPERNETWORKS", "Preset", "Recipe", "get_preset"]

# MetaHypernetworks by name, each with the way in which it learns best.
HYPERNETWORKS = {
    "conditioned": {"hypernetwork": "conditioned", "learning": "imitation"},
    "paper": {"hypernetwork": "paper", "learning": "gradients"},
}
_DEFAULT = "conditioned"


def get_preset(space: str, name: str) -> Preset:
    """The preset called `name` of a space, with the default MetaHypernetwork unless it names one.

    Raises UsageError for a space or a preset that there is not.
    """
    try:
        presets = space_presets(space)
    except KeyError as error:
        raise UsageError(f"no preset {name!r} for space {space}; known: none") from error
    if name not in presets:
        raise UsageError(f"no preset {name!r} for space {space}; known: {', '.join(presets)}")
    preset = presets[name]
    return preset.model_copy(update={"search": {**HYPERNETWORKS[_DEFAULT], **preset.search}})
