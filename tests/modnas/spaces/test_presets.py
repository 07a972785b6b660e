"""Presets: every space brings its own, or has the default ones."""

from __future__ import annotations

import pytest

from modnas.search import SearchConfig
from modnas.spaces import Space, get_space, space_names, space_presets


@pytest.mark.parametrize("name", space_names())
def test_presets_fit_their_space(name: str) -> None:
    presets = space_presets(name)
    assert presets
    for preset in presets.values():
        space = get_space(name, **preset.space)
        assert space.presets is presets
        config = SearchConfig(**preset.search)
        assert sum(width for width, _ in config.tables or [(space.width, 0)]) == space.width


def test_a_space_without_presets_has_a_default_one() -> None:
    class Own(Space):
        name = "own"
        options = (2, 2)

    SearchConfig(**Own.presets["quick"].search)
    assert Own.presets["quick"].space == {}  # its networks are as large as it makes them


def test_presets_of_an_unknown_space() -> None:
    with pytest.raises(KeyError):
        space_presets("chess")
