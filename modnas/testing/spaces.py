"""What every search space must do: choices, texts and encodings that agree, features, presets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from modnas.core.architecture import Architecture, ArchitectureError
from modnas.core.preset import Preset
from modnas.core.space import Space
from modnas.core.supernetwork import NoSupernetworkError
from modnas.search import SearchConfig
from modnas.spaces.registry import get_space, space_names
from modnas.testing.sources import check_module, check_source
from modnas.testing.supernetworks import check_supernetwork

_SAMPLES = 12


def check_space(space: Space | str, *, networks: int = 3, **size: Any) -> None:
    """Check a search space and its supernetwork if it has one.

    Args:
        space: one with small networks, or the name it is registered under.
        networks: how many networks are made and used.
        size: settings of a space given by name.

    Raises:
        AssertionError: it does not do what a space must; the message says what.
        KeyError: no such space.
    """
    sized = get_space(space, **size) if isinstance(space, str) else space
    if isinstance(space, str):
        assert sized.name == space, f"it is found as {space!r} and calls itself {sized.name!r}"
    check_source(sized, networks=1)
    some = check_sampling(sized)
    check_choices(sized, some)
    check_encoding(sized, some)
    check_features(sized, some)
    check_surroundings(sized, some)
    check_settings(sized)
    for architecture in some[:networks]:
        check_module(sized, architecture)
    if sized.has_supernetwork:
        check_supernetwork(sized, some[:networks])
        return
    try:
        sized.supernetwork()
    except NoSupernetworkError:
        return
    raise AssertionError("supernetwork() gives one, has_supernetwork denies it")


def check_sampling(space: Space) -> list[Architecture]:
    """Sizes, references and samples; some architectures, the references among them."""
    assert space.options and min(space.options) >= 1, f"options: {space.options}"
    assert space.width == sum(space.options) and space.size >= 2
    references = list(space.references)
    assert len({*references}) == len(references) >= 2, "references are at least two, each once"
    assert all(space.is_usable(one) for one in references), "a reference is not usable"
    assert list(space.references) == references, "references change: device vectors would mean nothing"
    count = min(_SAMPLES, space.size)
    drawn = space.sample(count, torch.Generator().manual_seed(0))
    assert len({*drawn}) == count, "a sample has one architecture twice"
    assert all(space.is_usable(one) for one in drawn), "a sampled architecture is not usable"
    assert drawn == space.sample(count, torch.Generator().manual_seed(0)), "one seed gives two samples"
    if space.unusable is not None:
        assert not space.is_usable(space.unusable), "the unusable architecture is usable"
    return [*references, *(one for one in drawn if one not in references)]


def check_choices(space: Space, some: Sequence[Architecture]) -> None:
    """Choices and texts name the same architectures, and nothing else is accepted."""
    for one in some:
        assert len(one.choices) == len(space.options), f"{one.string}: one choice a decision"
        assert space.architecture(one.choices) == one, f"{one.string}: its choices are another's"
        assert space.parse(one.string) == space.parse(one.id) == one, f"{one.string} is read as another"
    good = list(some[0].choices)
    for bad in (good[:-1], [*good, 0], [space.options[0], *good[1:]], [-1, *good[1:]]):
        _check_refusal(space.architecture, bad, "architecture")
    _check_refusal(space.parse, some[0].string + "?", "parse")


def _check_refusal(make: Callable[[Any], Architecture], given: object, told: str) -> None:
    try:
        make(given)
    except ArchitectureError:
        return
    raise AssertionError(f"{told} accepts {given!r}; it must raise ArchitectureError")


def check_encoding(space: Space, some: Sequence[Architecture]) -> None:
    """One-hot rows that read back; logits that become usable architectures."""
    onehot = space.encode(some)
    assert onehot.shape == (len(some), space.width) and onehot.dtype == torch.float32, "encode: (n, width)"
    for part in torch.split(onehot, list(space.options), dim=1):
        assert torch.equal(part.sum(1), torch.ones(len(some))), "an encoding is one one-hot row a decision"
    assert [space.read(row) for row in onehot] == list(some), "an encoding is read as another architecture"
    for seed in range(5):
        logits = torch.randn(space.width, generator=torch.Generator().manual_seed(seed))
        assert space.is_usable(space.decode(logits)), "decode proposes an architecture that is not usable"
        assert space.decode(logits) == space.decode(logits), "decode is not a function"


def check_features(space: Space, some: Sequence[Architecture]) -> None:
    """Differentiable features, each row by its own architecture, and counts of work."""
    for of in (space.predictor_features, space.function_features, space.chosen_features):
        onehot = space.encode(some).requires_grad_()
        found: Tensor = of(onehot)
        told = of.__name__
        assert found.ndim == 2 and len(found) == len(some), f"{told}: (n, features), not {tuple(found.shape)}"
        assert bool(found.isfinite().all()), f"{told} are not finite"
        (gradient,) = torch.autograd.grad(found.square().sum(), onehot)
        assert bool(gradient.isfinite().all()) and bool(gradient.any()), f"{told} have no gradient"
        alone = torch.cat([of(row.unsqueeze(0)) for row in onehot])
        assert torch.allclose(alone, found, atol=1e-5), f"{told} of one depend on the others"
        assert of(onehot.detach().double()).dtype == torch.float64, f"{told} lose precision"
    work = space.multiply_adds(some)
    if work is not None:
        assert work.shape == (len(some),) and work.dtype == torch.float64, "multiply_adds: float64 of (n,)"
        assert bool((work > 0).all()), "a usable network without a multiply-add"


def check_surroundings(space: Space, some: Sequence[Architecture]) -> None:
    """Plainest forms and neighbours."""
    for one in some:
        plain = space.simplified(one)
        assert space.simplified(plain) == plain, f"{one.string}: its plainest form has a plainer one"
        assert space.is_usable(plain), f"{one.string}: its plainest form is not usable"
    plain = space.simplified(some[0])
    near = space.neighbours(plain)
    assert near and plain not in near and len({*near}) == len(near), "neighbours: others, each once"
    assert all(space.is_usable(one) for one in near), "a neighbour is not usable"


def check_settings(space: Space) -> None:
    """Hypernetwork tables that cover the encoding, presets that a search can take."""
    if space.tables is not None:
        assert sum(width for width, _ in space.tables) == space.width, "tables do not add up to the width"
        assert {index for _, index in space.tables} <= {0, 1}, "two objectives have preferences 0 and 1"
    assert space.presets, "no preset; leave `presets` out to have the default ones"
    for name, preset in space.presets.items():
        assert isinstance(preset, Preset), f"preset {name} is no Preset"
        SearchConfig(**preset.search)
        if space.name in space_names():
            get_space(space.name, **preset.space)
