"""The MobileNetV3 space: strings, encoding, reference networks, features."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modnas.spaces import ArchitectureError, get_space
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.network import Block
from modnas.spaces.mobilenetv3.work import Decisions

SPACE = MobileNetV3()
SMALL = MobileNetV3(width_percent=30, classes=10, input_shape=(3, 64, 64), min_side=32)

choices = st.tuples(*(st.integers(0, n - 1) for n in SPACE.options))


@given(choices)
def test_strings_and_encodings_lead_back(chosen):
    architecture = SPACE.architecture(chosen)
    assert SPACE.parse(architecture.string) == architecture
    assert SPACE.parse(architecture.id) == architecture
    assert SPACE.read(SPACE.encode([architecture])[0]) == architecture


@given(choices, choices)
def test_networks_are_equal_just_when_what_exists_of_them_is(one, other):
    a, b = SPACE.architecture(one), SPACE.architecture(other)
    same = SPACE.stages(a) == SPACE.stages(b) and SPACE.input_shape_of(a) == SPACE.input_shape_of(b)
    assert (a == b) == same == (a.string == b.string)


def test_blocks_beyond_the_depth_are_no_choice():
    shallow = [0] * 5 + [2] * 20 + [1] * 20 + [3]
    changed = list(shallow)
    changed[5 + 3], changed[25 + 6] = 0, 0
    assert SPACE.architecture(shallow) == SPACE.architecture(changed)
    changed[5 + 1] = 0
    assert SPACE.architecture(shallow) != SPACE.architecture(changed)


def test_the_encoding_is_laid_out_as_documented():
    stages = [[Block(5, 3), Block(7, 6)], *[[Block(3, 4)] * 3] * 3, [Block(3, 3)] * 4]
    row = SPACE.encode([SPACE.describe(132, stages)])[0]
    assert row.shape == (160,)
    assert row[:15].view(5, 3).argmax(1).tolist() == [0, 1, 1, 1, 2]
    assert row[15:75].view(20, 3).argmax(1).tolist()[:4] == [1, 2, 0, 0]
    assert row[75:135].view(20, 3).argmax(1).tolist()[:6] == [0, 2, 0, 0, 1, 1]
    assert int(row[135:].argmax()) == 1


def test_the_size_counts_networks():
    # Of a stage with 2, 3 or 4 blocks of nine kinds; the paper says more than 10^19 without input sizes.
    assert SPACE.size == 25 * (9**2 + 9**3 + 9**4) ** 5
    assert SPACE.size // 25 > 10**19


@pytest.mark.parametrize(
    "text",
    [
        "",
        "r224",
        "r224-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3",
        "r224-k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3",
        "r225-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3",
        "r0224-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3",
        "r224-k3e5.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3",
        "r224-k3e3.k3e3.-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3",
        "k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3-k3e3.k3e3",
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ArchitectureError, match="not a network of mobilenetv3"):
        SPACE.parse(text)


@pytest.mark.parametrize("chosen", [[0] * 45, [3] + [0] * 45, [0] * 45 + [25]])
def test_other_choices_are_refused(chosen):
    with pytest.raises(ArchitectureError):
        SPACE.architecture(chosen)


@pytest.mark.parametrize(
    "config", [{"input_shape": (3, 224, 192)}, {"min_side": 210}, {"width_percent": 0}, {"min_side": 0}]
)
def test_impossible_sizes_are_refused(config):
    with pytest.raises(ValueError, match=r"must be|do not fit"):
        MobileNetV3(**config)


def test_input_sizes():
    assert SPACE.sides == tuple(range(128, 225, 4))
    assert len(set(SMALL.sides)) == 25
    assert (SMALL.sides[0], SMALL.sides[-1]) == (32, 64)
    assert SMALL.input_shape_of(SMALL.architecture([0] * 45 + [24])) == (3, 64, 64)


def test_variants_tell_sizes_apart():
    assert SPACE.variant == "w120-3x128to224-1000"
    assert SMALL.variant == "w30-3x32to64-10"
    assert get_space("mobilenetv3").variant == SPACE.variant


def test_references_have_the_same_options_at_every_size():
    assert len(set(SPACE.references)) == 10
    assert [a.choices for a in SMALL.references] == [a.choices for a in SPACE.references]


def test_published_descriptions(data_dir):
    """5,000 networks of HELP's table, its reference networks, and its encoding of 145 inputs."""
    with np.load(data_dir / "ofa" / "archs_latency.npz", allow_pickle=False) as file:
        ks, e, d, r = (file[name] for name in ("ks", "e", "d", "r"))
    found = [SPACE.from_lists(*row) for row in zip(ks, e, d, r.tolist(), strict=True)]
    assert len(set(found)) == 5000
    reference = json.loads((data_dir / "ofa" / "reference.json").read_text())
    assert tuple(found[i] for i in reference["hardware_embedding_index"]) == SPACE.references
    # HELP: 60 kernel and 60 expansion one-hots, zero for absent blocks, then 25 input sizes.
    some = slice(0, 200)
    exists = (np.arange(4) < d[some, :, None]).reshape(-1, 20, 1)
    kernels = (ks[some, :, None] == [3, 5, 7]) & exists
    expansions = (e[some, :, None] == [3, 4, 6]) & exists
    expected = np.concatenate([kernels.reshape(-1, 60), expansions.reshape(-1, 60)], 1)
    onehot = SPACE.encode(found[some])
    features = SPACE.chosen_features(onehot)
    assert (features[:, 15:135].numpy() == expected).all()
    assert (onehot[:, 135:].argmax(1).numpy() == (r[some] - 128) // 4).all()
    assert (features[:, :15].view(-1, 5, 3).argmax(2).numpy() == d[some] - 2).all()


@given(choices, st.randoms(use_true_random=False))
def test_features_do_not_see_absent_blocks(chosen, random):
    architecture = SPACE.architecture(chosen)
    onehot = SPACE.encode([architecture])
    live = Decisions.of(onehot).live()[0].bool()
    assert int(live.sum()) == sum(map(len, SPACE.stages(architecture)))
    changed = onehot.clone()
    for block in (~live).nonzero().flatten().tolist():
        for start in (15, 75):
            row = changed[0, start + 3 * block : start + 3 * block + 3]
            row.copy_(torch.eye(3)[random.randrange(3)])
    for features in (SPACE.predictor_features, SPACE.chosen_features, SPACE.function_features):
        assert torch.equal(features(onehot), features(changed))


def test_features_have_a_gradient():
    onehot = SPACE.encode(SPACE.references).requires_grad_()
    (slope,) = torch.autograd.grad(SPACE.predictor_features(onehot).square().sum(), onehot)
    assert (slope[:, :15] != 0).any()
    assert (slope[:, 15:135] != 0).any()


def test_neighbours_are_distinct_networks():
    start = SPACE.references[2]
    around = SPACE.neighbours(start)
    assert start not in around
    # 11 blocks with two other kernels and expansions each, five stages with two other depths, 24 sizes.
    assert len(set(around)) == len(around) == 11 * 4 + 5 * 2 + 24
