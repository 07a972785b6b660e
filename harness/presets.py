"""Named sets of search settings, one module a space."""

from __future__ import annotations

from harness.core.errors import UsageError
from harness.presets import mobilenetv3, nasbench201, transformer
from harness.presets.base import Preset, Recipe

__all__ = ["PRESETS", "Preset", "Recipe", "get_preset"]

PRESETS: dict[str, dict[str, Preset]] = {
    "mobilenetv3": mobilenetv3.PRESETS,
    "nasbench201": nasbench201.PRESETS,
    "transformer": transformer.PRESETS,
}


def get_preset(space: str, name: str) -> Preset:
    """The preset called `name` of a space. Raises UsageError."""
    presets = PRESETS.get(space, {})
    if name not in presets:
        known = ", ".join(presets) or "none"
        raise UsageError(f"no preset {name!r} for space {space}; known: {known}")
    return presets[name]
