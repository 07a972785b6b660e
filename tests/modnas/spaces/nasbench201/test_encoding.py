"""Strings, order, liveness and encodings of NAS-Bench-201."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modnas.spaces import ArchitectureError, get_space, space_names
from modnas.spaces.nasbench201.space import (
    EDGES,
    NONE,
    OPERATORS,
    REFERENCE_INDICES,
    SKIP,
    NasBench201,
    live_edges,
    live_weights,
    official_order,
)

SPACE = NasBench201()
choices_of_a_cell = st.tuples(*[st.integers(0, 4)] * 6)

# All ways through the cell, as positions in EDGES.
PATHS = [(3,), (0, 4), (1, 5), (0, 2, 5)]


def brute_force_live(choices):
    open_paths = [path for path in PATHS if all(choices[e] != NONE for e in path)]
    return tuple(any(e in path for path in open_paths) for e in range(6))


@pytest.fixture(scope="module")
def every_cell():
    return nn.functional.one_hot(torch.tensor(official_order()), 5).flatten(1).double()


@pytest.mark.parametrize(
    ("index", "string"),
    [
        (
            0,
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        ),
        (9, "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"),
        (123, "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"),
    ],
)
def test_official_order(index, string):
    assert SPACE.at(index).string == string


def test_official_order_is_that_of_the_published_table(nb201):
    assert [a.string for a in SPACE.all()] == nb201.strings


def test_references_are_the_published_ones_and_usable():
    assert REFERENCE_INDICES == (11982, 431, 55, 9, 14451, 8636, 9881, 13479, 6196, 1462)
    assert SPACE.references == tuple(SPACE.at(i) for i in REFERENCE_INDICES)
    assert all(SPACE.is_usable(a) for a in SPACE.references)


@given(choices_of_a_cell)
def test_parse_reads_what_format_writes(choices):
    architecture = SPACE.architecture(choices)
    assert SPACE.parse(architecture.string) == architecture
    assert SPACE.parse(architecture.id) == architecture
    assert SPACE.parse(f"  {architecture.string}\n") == architecture


GOOD = SPACE.at(0).string


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nasbench201:",
        GOOD[:-1],
        GOOD + "|",
        f"other:{GOOD}",
        f"nasbench201:nasbench201:{GOOD}",
        GOOD.replace("skip_connect~2", "skip_connect~1"),
        GOOD.replace("avg_pool_3x3", "max_pool_3x3"),
        GOOD.replace("+", "-"),
        GOOD.replace("|+|", "|\n+|"),
        GOOD.upper(),
    ],
)
def test_malformed_strings_are_refused(text):
    with pytest.raises(ArchitectureError, match="not a NAS-Bench-201 cell"):
        SPACE.parse(text)


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ArchitectureError):
        assert SPACE.parse(text).string == text.strip().removeprefix("nasbench201:")


@pytest.mark.parametrize("choices", [(0,) * 5, (0,) * 7, (5, 0, 0, 0, 0, 0), (-1, 0, 0, 0, 0, 0), ()])
def test_impossible_choices_are_refused(choices):
    with pytest.raises(ArchitectureError):
        SPACE.architecture(choices)


def test_live_edges_against_all_paths():
    for choices in official_order():
        assert live_edges(choices) == brute_force_live(choices), choices


def test_live_weights_are_live_edges_for_every_cell(every_cell):
    expected = torch.tensor([live_edges(c) for c in official_order()]).double()
    assert torch.equal(live_weights(every_cell), expected)


def test_predictor_features_ignore_dead_operators(every_cell):
    features = SPACE.predictor_features(every_cell)
    assert features.shape == (15625, 32)
    known = {}
    for choices, row in zip(official_order(), features, strict=True):
        alive = tuple(c if lives else NONE for c, lives in zip(choices, live_edges(choices), strict=True))
        assert torch.equal(known.setdefault(alive, row), row), choices
    assert len({tuple(row.tolist()) for row in known.values()}) == len(known)


def test_predictor_features_by_hand():
    # 0>1 conv3x3, 1>3 skip, 0>3 pool alive; 0>2 conv1x1 leads nowhere because 2>3 is none.
    cell = SPACE.architecture((3, 2, 0, 4, 1, 0))
    row = SPACE.predictor_features(SPACE.encode([cell]))[0]
    flags = row[:24].view(6, 4)
    assert flags.nonzero().tolist() == [[0, 2], [3, 3], [4, 0]]
    assert row[24:28].tolist() == [1, 0, 1, 1]  # skip, conv1x1, conv3x3, pool
    assert row[28:31].tolist() == [0, 0, 1]  # one addition, at the output
    assert row[31] == 1


def test_predictor_features_pass_a_gradient():
    onehot = SPACE.encode([SPACE.at(0)]).requires_grad_()
    SPACE.predictor_features(onehot).sum().backward()
    assert onehot.grad is not None
    assert (onehot.grad != 0).any()
    assert onehot.grad.isfinite().all()


@given(choices_of_a_cell)
def test_encoding(choices):
    cell = SPACE.architecture(choices)
    row = SPACE.encode([cell])[0]
    assert row.view(6, 5).argmax(1).tolist() == list(choices)
    assert row.sum() == 6
    if SPACE.is_usable(cell):
        assert SPACE.decode(row) == SPACE.simplified(cell)


@given(st.integers(0, 2**31), st.floats(0, 20))
def test_decoded_cells_are_connected_and_the_best(seed, bias):
    logits = torch.randn(30, generator=torch.Generator().manual_seed(seed))
    logits.view(6, 5)[:, NONE] += bias  # tempts the decoder to cut the cell
    cell = SPACE.decode(logits)
    assert any(brute_force_live(cell.choices))
    free = SPACE.architecture(logits.view(6, 5).argmax(1).tolist())
    if SPACE.is_usable(free):
        assert cell == SPACE.simplified(free)


def test_decode_prefers_the_cheapest_connection():
    logits = torch.zeros(6, 5)
    logits[:, NONE] = 10.0
    logits[3, SKIP] = 9.0
    assert SPACE.decode(logits.flatten()).choices == (NONE, NONE, NONE, SKIP, NONE, NONE)


def test_sample_is_distinct_usable_and_seeded():
    cells = SPACE.sample(300, torch.Generator().manual_seed(1))
    assert len(set(cells)) == 300
    assert all(SPACE.is_usable(cell) for cell in cells)
    assert cells == SPACE.sample(300, torch.Generator().manual_seed(1))
    assert cells != SPACE.sample(300, torch.Generator().manual_seed(2))


def test_sample_from_too_small_a_space():
    class Nothing(NasBench201):
        def is_usable(self, architecture):
            return False

    with pytest.raises(ValueError, match="fewer than 1 usable"):
        Nothing().sample(1, torch.Generator())


def test_registry():
    assert "nasbench201" in space_names()
    assert get_space("nasbench201", channels=8, cells=1) == NasBench201(channels=8, cells=1)
    with pytest.raises(KeyError):
        get_space("no-such-space")
    with pytest.raises(TypeError):
        get_space("nasbench201", width=3)


@pytest.mark.parametrize("setting", [{"channels": 0}, {"cells": 0}, {"input_shape": (3, 30, 32)}])
def test_impossible_sizes_are_refused(setting):
    with pytest.raises(ValueError, match="must be"):
        get_space("nasbench201", **setting)


def test_names_of_edges_and_operators_fit_the_encoding():
    assert SPACE.width == len(EDGES) * len(OPERATORS) == 30
    assert SPACE.variant == "c16n5-3x32x32-10"


@pytest.mark.slow
@given(choices_of_a_cell, st.integers(1, 2))
def test_variations_are_all_usable_cells_within_a_distance(choices, distance):
    cell = SPACE.architecture(choices)
    every = torch.tensor(official_order())
    changes = (every != torch.tensor(choices)).sum(1)
    within = [SPACE.at(int(i)) for i in ((changes > 0) & (changes <= distance)).nonzero()]
    found = SPACE.variations(cell, distance)
    assert len(found) == len(set(found))
    assert set(found) == {c for c in within if SPACE.is_usable(c)}
    assert set(SPACE.neighbours(cell, distance)) == {SPACE.simplified(c) for c in found} - {cell}
