"""The transformer space: encodings, strings, HAT's notations, and what is dead in it."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modnas.spaces import ArchitectureError, get_space
from modnas.spaces.transformer.choices import DECODER_GROUPS, GROUPS, grouped
from modnas.spaces.transformer.plan import Plan, PlanError, from_hat, hat_features
from modnas.spaces.transformer.space import HYPERNETWORK_TABLES, Transformer

SPACE = Transformer()
# IWSLT'14 is searched with smaller feed-forward parts and fewer heads (`hat/reference.json`).
IWSLT = Transformer(ffn=(2048, 1024, 512), heads=(4, 2))

choices = st.tuples(*(st.integers(0, options - 1) for options in SPACE.options))


def to_hat(plan: Plan) -> dict[str, Any]:
    """The configuration that HAT would be given for a plan, with the keys of its files."""
    content = {
        "encoder-embed-dim": plan.encoder_embed,
        "encoder-layer-num": len(plan.encoder_ffn),
        "encoder-ffn-embed-dim-all": list(plan.encoder_ffn),
        "encoder-self-attention-heads-all": list(plan.encoder_heads),
        "decoder-embed-dim": plan.decoder_embed,
        "decoder-layer-num": plan.depth,
        "decoder-ffn-embed-dim-all": list(plan.decoder_ffn),
        "decoder-self-attention-heads-all": list(plan.decoder_heads),
        "decoder-ende-attention-heads-all": list(plan.cross_heads),
        "decoder-arbitrary-ende-attn-all": [{1: -1, 2: 1, 3: 2}[count] for count in plan.attended],
    }
    return {f"{key}-subtransformer": value for key, value in content.items()}


def published(data_dir: Path) -> list[dict[str, Any]]:
    found = json.loads((data_dir / "hat" / "subtransformers.json").read_text())
    return [*found["hat"], *found["help"]]


def test_the_encoding_has_the_papers_nine_tables():
    # Appendix D.2: 2 and 2, 6x3 and 6x3, 6x2 and 6x2, 6, 6x2, 6x3.
    assert [width for width, _ in HYPERNETWORK_TABLES] == [2, 2, 18, 18, 12, 12, 6, 12, 18]
    assert SPACE.width == sum(width for width, _ in HYPERNETWORK_TABLES) == 100


@given(choices)
def test_strings_and_encodings_say_the_same(chosen: tuple[int, ...]):
    architecture = SPACE.architecture(chosen)
    assert SPACE.parse(architecture.string) == SPACE.parse(architecture.id) == architecture
    assert SPACE.read(SPACE.encode([architecture])[0]) == architecture
    assert SPACE.from_plan(SPACE.plan(architecture)) == architecture
    assert SPACE.from_plan(from_hat(to_hat(SPACE.plan(architecture)))) == architecture


@given(choices, st.data())
def test_choices_of_absent_decoder_layers_are_none(chosen: tuple[int, ...], data: st.DataObject):
    architecture = SPACE.architecture(chosen)
    depth = SPACE.plan(architecture).depth
    other = list(chosen)
    position = 0
    for name, (count, options) in GROUPS.items():
        if name in DECODER_GROUPS:
            for layer in range(depth, count):
                other[position + layer] = data.draw(st.integers(0, options - 1))
        position += count
    assert SPACE.architecture(other) == architecture
    onehot = torch.cat(
        [torch.eye(options)[c] for c, options in zip(other, SPACE.options, strict=True)]
    ).unsqueeze(0)
    same = SPACE.encode([architecture])
    assert torch.equal(SPACE.predictor_features(onehot), SPACE.predictor_features(same))
    assert torch.equal(SPACE.chosen_features(onehot), SPACE.chosen_features(same))


def test_a_deeper_network_has_more_neighbours():
    shallow, deep = (SPACE.uniform((0, 0, 0), (0, 0, 0, 0), depth, 1) for depth in (1, 6))
    # Two embeddings, 6 layers of encoder with 3 alternatives, 5 depths, and 6 alternatives a decoder layer.
    assert len(SPACE.neighbours(shallow)) == 2 + 6 * 3 + 5 + 1 * 6
    assert len(SPACE.neighbours(deep)) == 2 + 6 * 3 + 5 + 6 * 6


def test_predictor_features_count_layers_whatever_their_order():
    first = SPACE.parse("enc640-f3072.1024.1024.1024.1024.2048-h8.4.4.4.4.4+dec512-f3072.1024-h8.4-x8.4-k1.3")
    second = SPACE.parse(
        "enc640-f1024.2048.1024.3072.1024.1024-h4.4.4.4.4.8+dec512-f1024.3072-h4.8-x4.8-k3.1"
    )
    one, other = SPACE.predictor_features(SPACE.encode([first, second]))
    assert torch.equal(one, other)


def test_predictor_features_have_a_gradient():
    onehot = SPACE.encode([SPACE.uniform((0, 1, 0), (1, 2, 0, 1), 3, 2)]).requires_grad_()
    SPACE.predictor_features(onehot).sum().backward()
    assert onehot.grad is not None and onehot.grad.isfinite().all() and onehot.grad.abs().sum() > 0


def test_the_references_differ_in_every_decision():
    plans = [SPACE.plan(reference) for reference in SPACE.references]
    assert len(set(plans)) == 10
    assert {plan.depth for plan in plans} == {1, 2, 3, 4, 5, 6}
    for group, (_, options) in GROUPS.items():
        rows = getattr(grouped(SPACE.encode(SPACE.references)), group)
        assert bool((rows[:, 0].sum(0) > 0).all()), f"{group} with its {options} options"


def test_published_networks_are_read_and_written(data_dir: Path):
    for network in published(data_dir):
        space = IWSLT if network["task"].startswith("iwslt") else SPACE
        plan = from_hat(network["config"])
        assert space.plan(space.from_plan(plan)) == plan
        written = yaml.safe_load(yaml.safe_dump(to_hat(plan)))
        assert from_hat(written) == plan
        assert {key.removesuffix("-subtransformer") for key in written} == set(network["config"])


def test_hat_features_are_averages_over_layers():
    plan = SPACE.plan(
        SPACE.parse(
            "enc640-f3072.1024.1024.1024.1024.1024-h8.4.4.4.4.4+dec512-f3072.1024.2048-h8.4.4-x8.8.4-k1.3.3"
        )
    )
    expected = [640, 6, 8192 / 6, 28 / 6, 512, 3, 2048, 16 / 3, 20 / 3, 7 / 3]
    assert hat_features(plan) == pytest.approx(expected)


@given(choices)
def test_averages_of_an_encoding_are_those_of_its_plan(chosen: tuple[int, ...]):
    architecture = SPACE.architecture(chosen)
    found = SPACE.average_features(SPACE.encode([architecture]).double())[0]
    assert found.tolist() == pytest.approx(hat_features(SPACE.plan(architecture)))


def test_hat_features_lie_within_the_latency_data(data_dir: Path):
    names = json.loads((data_dir / "hat" / "reference.json").read_text())["features"]
    with gzip.open(data_dir / "hat" / "wmt14ende_cpu_xeon.csv.gz", "rt") as file:
        rows = [[float(row[name]) for name in names] for row in csv.DictReader(file)]
    low, high = np.min(rows, 0), np.max(rows, 0)
    # The extremes of averages over six layers are hardly ever drawn: all but the largest network are inside.
    for architecture in SPACE.references[2:]:
        found = np.array(hat_features(SPACE.plan(architecture)))
        assert ((low * 0.9 <= found) & (found <= high * 1.1)).all(), (names, found)


@pytest.mark.parametrize(
    "change",
    [
        {"decoder-arbitrary-ende-attn-all": [3]},
        {"decoder-ffn-embed-dim-all": []},
        {"encoder-embed-dim": None},
        {"encoder-ffn-embed-dim-all": [1024] * 5},
    ],
)
def test_configurations_that_are_none(change: dict[str, Any]):
    largest = SPACE.largest
    one = Plan(
        *(part[:1] if n > 3 else part for n, part in enumerate(astuple(largest)))  # one decoder layer
    )
    config = {key.removesuffix("-subtransformer"): value for key, value in to_hat(one).items()}
    with pytest.raises(PlanError):
        from_hat({**config, **change})


@pytest.mark.parametrize("text", ["", "enc640", "enc640-f1024-h8+dec640-f1024-h8-x8-k1", "enc640-f1.2-h8"])
def test_strings_that_are_none(text: str):
    with pytest.raises(ArchitectureError):
        SPACE.parse(text)


@pytest.mark.parametrize(
    "config", [{"heads": 3}, {"ffn": 2}, {"embed": (512, 640)}, {"input_shape": (3, 30)}, {"classes": 3}]
)
def test_sizes_that_cannot_be(config: dict[str, Any]):
    with pytest.raises(ValueError):
        get_space("transformer", **config)


def test_variants_tell_sizes_apart():
    spaces = [SPACE, IWSLT, Transformer(classes=100), Transformer(norm_first=1), Transformer(drop_percent=0)]
    assert len({space.variant for space in spaces}) == len(spaces)
