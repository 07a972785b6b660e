"""Transformers: parameter counts as published, slices of the supernetwork, decoding with a cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modnas.search.estimators import sample as draw
from modnas.spaces.transformer import Transformer
from modnas.spaces.transformer.choices import grouped
from modnas.spaces.transformer.decoding import BEGIN, END, NetworkDecoder, beam_search, greedy
from modnas.spaces.transformer.network import PAD, Settings, TransformerNetwork
from modnas.spaces.transformer.plan import from_hat

BEFORE = Transformer(classes=40, input_shape=(2, 7), embed=40, ffn=48, heads=4, inner=32, norm_first=1)
AFTER = Transformer(classes=40, input_shape=(2, 7), embed=40, ffn=48, heads=4, inner=32)
SPACES = pytest.mark.parametrize("space", [BEFORE, AFTER], ids=["norm-first", "norm-after"])


@pytest.fixture
def tokens() -> Tensor:
    """Three pairs of sentences, one of them shorter."""
    found = torch.randint(3, 40, (3, 2, 7), generator=torch.Generator().manual_seed(1))
    found[:, 1, 0] = BEGIN
    found[1, :, 5:] = PAD
    return found


@pytest.mark.slow
def test_parameters_are_the_published_ones(data_dir: Path):
    """HAT counts without the embedding table (its README's params; `hat/subtransformers.json`)."""
    settings = Settings(vocabulary=8, inner=512, signals=(8, 640), norm_first=False, drop=0.1)
    for published in json.loads((data_dir / "hat" / "subtransformers.json").read_text())["hat"]:
        with torch.device("meta"):
            network = TransformerNetwork(from_hat(published["config"]), settings)
        counted = sum(p.numel() for p in network.parameters()) - network.body.embedding.weight.numel()
        assert counted / 1e6 == pytest.approx(published["params_m"], rel=1e-3)


@SPACES
def test_a_slice_is_the_standalone_network(space: Transformer, tokens: Tensor):
    supernetwork = space.supernetwork().eval()
    generator = torch.Generator().manual_seed(2)
    for architecture in [*space.references, *space.sample(10, generator)]:
        network = supernetwork.extract(architecture).eval()
        onehot = space.encode([architecture])[0]
        expected = network(tokens)
        assert torch.allclose(supernetwork(tokens, onehot), expected, atol=1e-5)
        # As weights, and with what was not chosen executed too, the result is the same.
        for supernetwork.counterfactual in (True, False):
            weighted = supernetwork(tokens, onehot.clone().requires_grad_())
            assert torch.allclose(weighted, expected, atol=1e-5)


def test_gradients_of_weights_stay_in_the_slice(tokens: Tensor):
    supernetwork = BEFORE.supernetwork()
    smallest = BEFORE.references[1]
    supernetwork(tokens, BEFORE.encode([smallest])[0]).square().mean().backward()
    plan = BEFORE.plan(smallest)
    body = supernetwork.body
    assert body.decoder[1].up.weight.grad is None
    up = body.encoder[0].up.weight.grad
    assert up[plan.encoder_ffn[0] :].abs().sum() == 0 and up[: plan.encoder_ffn[0]].abs().sum() > 0
    assert up[:, plan.encoder_embed :].abs().sum() == 0


@pytest.mark.parametrize("decision", ["decoder_ffn", "depth"])
def test_the_gradient_by_a_gate_is_that_of_the_weight(decision: str, tokens: Tensor):
    """Leaving out a share of a block is a change of its weight: compare with a finite difference."""
    torch.manual_seed(0)
    space = Transformer(
        classes=40, input_shape=(2, 7), embed=40, ffn=48, heads=4, inner=32, norm_first=1, drop_percent=0
    )
    supernetwork = space.supernetwork().double()
    onehot = space.encode([space.uniform((0, 0, 0), (0, 0, 0, 0), 3, 1)])[0].double().requires_grad_()

    def value(sample: Tensor) -> Tensor:
        return supernetwork(tokens, sample).square().mean()

    (gradient,) = torch.autograd.grad(value(onehot), onehot)
    by_group = getattr(grouped(gradient), decision)[0]
    moved = onehot.detach().clone()
    rows = getattr(grouped(moved), decision)[0]
    chosen, smaller = (0, 2) if decision == "decoder_ffn" else (2, 0)
    step = 1e-5
    rows[chosen] -= step  # a view of `moved`: from the larger option toward the smaller
    rows[smaller] += step
    change = (value(moved.requires_grad_()) - value(onehot)) / step
    assert float(change.detach()) == pytest.approx(float(by_group[smaller] - by_group[chosen]), rel=1e-3)


def test_a_sampled_architecture_has_a_gradient_for_its_logits(tokens: Tensor):
    logits = torch.zeros(1, BEFORE.width, requires_grad=True)
    (sample,) = draw(logits, BEFORE.options, torch.Generator().manual_seed(0))
    BEFORE.supernetwork()(tokens, sample).square().mean().backward()
    assert logits.grad is not None
    groups = grouped(logits.grad[0])
    for name in ("encoder_ffn", "encoder_heads", "cross_heads", "attended"):
        assert getattr(groups, name).abs().sum() > 0


@SPACES
def test_decoding_with_a_cache_is_decoding_without(space: Transformer, tokens: Tensor):
    for architecture in space.references:
        network = space.network(architecture).eval()
        assert isinstance(network, TransformerNetwork)
        expected = network(tokens)
        decoder = NetworkDecoder(network)
        cache = decoder.start(tokens[:, 0])
        for n in range(tokens.shape[2]):
            scores, cache = decoder.step(tokens[:, 1, n], cache)
            assert torch.allclose(scores, expected[:, n], atol=1e-5)


def test_padding_changes_nothing(tokens: Tensor):
    network = AFTER.network(AFTER.references[0]).eval()
    assert torch.allclose(network(tokens[1:2, :, :5]), network(tokens)[1:2, :5], atol=1e-5)


def copying(space: Transformer, steps: int = 150) -> TransformerNetwork:
    """A network that has learned, more or less, to repeat three tokens."""
    torch.manual_seed(0)
    network = space.network(space.references[1])
    assert isinstance(network, TransformerNetwork)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(steps):
        words = torch.randint(3, 40, (32, 3))
        target = torch.cat([torch.full((32, 1), BEGIN), words], 1)
        source = torch.cat([words, torch.full((32, 1), END)], 1)
        logits = network(torch.stack([source, target], 1))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), source.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.mark.slow
@pytest.mark.trains
def test_greedy_and_beam_search():
    network = copying(BEFORE)
    source = torch.randint(3, 40, (6, 4), generator=torch.Generator().manual_seed(4))
    source[:, 3] = END
    decoder = NetworkDecoder(network)
    found = greedy(decoder, source, 8)
    gained = 0.0
    for sentence, row in zip(found, source, strict=True):
        # A beam of one without a preference for length is the greedy search.
        assert beam_search(decoder, row, 8, beam=1, length_penalty=0) == sentence
        wide = beam_search(decoder, row, 8, beam=8, length_penalty=0)
        gained += log_probability(network, row, wide) - log_probability(network, row, sentence)
    # A beam may lose the greedy sentence on the way; all in all a wider one finds likelier sentences.
    assert gained > -1e-4
    assert sum(word in row for s, row in zip(found, source.tolist(), strict=True) for word in s) > 9


def log_probability(network: TransformerNetwork, source: Tensor, sentence: list[int]) -> float:
    inputs = torch.full((1, 2, max(len(source), len(sentence) + 1)), PAD)
    inputs[0, 0, : len(source)] = source
    inputs[0, 1, : len(sentence) + 1] = torch.tensor([BEGIN, *sentence])
    scores = network(inputs)[0].log_softmax(1)
    return sum(float(scores[n, token].detach()) for n, token in enumerate([*sentence, END]))


def test_the_timed_module_takes_one_step_a_token():
    space = AFTER
    network = space.network(space.references[4]).eval()
    timed = space.measured(network)
    (tokens,) = space.inputs(space.references[4])
    assert (tokens.shape, tokens.dtype) == (space.input_shape, "int64")
    assert tokens.range == (PAD + 1, 39)  # nothing is hidden, and every token is one of the vocabulary
    ids = torch.randint(PAD + 1, 40, (2, 2, 7))
    assert torch.allclose(timed(ids), network(ids).amax(2), atol=1e-5)
