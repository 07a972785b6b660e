"""Exported transformers against PyTorch's: greedy decoding token for token, what is timed."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from harness.export.artifact import ArtifactCache
from harness.export.probe import probe
from modnas.spaces.transformer import Transformer
from modnas.spaces.transformer.decoding import BEGIN, END, NetworkDecoder, greedy
from modnas.spaces.transformer.export import greedy_onnx
from modnas.spaces.transformer.network import PAD, TransformerNetwork

pytestmark = pytest.mark.trains

SPACES = [
    Transformer(classes=60, input_shape=(2, 9), embed=40, ffn=48, heads=4, inner=32, norm_first=first)
    for first in (0, 1)
]
LIMIT = 12


@cache
def trained(first: int, reference: int) -> TransformerNetwork:
    """A network that has learned a little of repeating three tokens, so that what it says depends on them."""
    space = SPACES[first]
    torch.manual_seed(3)
    network = space.network(space.references[reference])
    assert isinstance(network, TransformerNetwork)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(80):
        words = torch.randint(3, 60, (32, 3))
        target = torch.cat([torch.full((32, 1), BEGIN), words], 1)
        source = torch.cat([words, torch.full((32, 1), END)], 1)
        logits = network(torch.stack([source, target], 1))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), source.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def sentences(count: int) -> Tensor:
    source = torch.randint(3, 60, (count, 9), generator=torch.Generator().manual_seed(7))
    for n, row in enumerate(source):
        length = 3 + n % 7
        row[length - 1], row[length:] = END, PAD
    return source


def parts_at_a_tie(network: TransformerNetwork, row: Tensor, found: list[int], expected: list[int]) -> bool:
    """Whether two greedy translations first differ in tokens whose scores are equal but for rounding."""
    pairs = zip([*found, END], [*expected, END], strict=False)
    n, tokens = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    decoder = NetworkDecoder(network)
    cache = decoder.start(row.unsqueeze(0))
    for token in (BEGIN, *expected[:n]):
        scores, cache = decoder.step(torch.tensor([token]), cache)
    first, second = scores[0, list(tokens)].tolist()
    return abs(first - second) < 1e-4


def options() -> onnxruntime.SessionOptions:
    found = onnxruntime.SessionOptions()
    found.intra_op_num_threads = 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("first", "reference"), [(0, 8), (1, 6), (1, 1)])
def test_decoding_from_the_export_is_pytorchs_token_for_token(first: int, reference: int):
    network, source = trained(first, reference), sentences(50)
    model = greedy_onnx(network)
    onnx.checker.check_model(model)
    expected = greedy(NetworkDecoder(network), source, LIMIT)
    assert len({tuple(sentence) for sentence in expected}) > 10
    session = onnxruntime.InferenceSession(model.SerializeToString(), options())
    (tokens,) = session.run(None, {"source": source.numpy(), "limit": np.array(LIMIT)})
    rows = [row[: row.index(END)] if END in row else row for row in tokens.T.tolist()]
    for row, ours, own_tokens in zip(source, rows, expected, strict=True):
        assert ours == own_tokens or parts_at_a_tie(network, row, ours, own_tokens)


def test_a_whole_decoding_stops_when_all_have_ended():
    network, source = copy.deepcopy(trained(1, 6)), sentences(1)
    session = onnxruntime.InferenceSession(greedy_onnx(network).SerializeToString(), options())
    (free,) = session.run(None, {"source": source.numpy(), "limit": np.array(LIMIT)})
    with torch.no_grad():  # END and the token that comes first change places
        table, first = network.body.embedding.weight, int(free[0, 0])
        table[[END, first]] = table[[first, END]]
    ending = torch.where(source == END, first, torch.where(source == first, END, source))
    session = onnxruntime.InferenceSession(greedy_onnx(network).SerializeToString(), options())
    (tokens,) = session.run(None, {"source": ending.numpy(), "limit": np.array(LIMIT)})
    assert tokens.tolist() == [[END]] and len(free) > 1


@pytest.mark.parametrize("space", SPACES, ids=["norm-after", "norm-first"])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_artifact_gives_what_it_says(space: Transformer, batch: int, tmp_path: Path):
    cache = ArtifactCache(tmp_path)
    for architecture in space.references[:4]:
        artifact = cache.get(space, architecture, batch)
        (tokens,) = artifact.inputs
        assert (tokens.shape, tokens.dtype) == ((batch, 2, 9), "int64") and len(
            artifact.expected
        ) == batch * 9
        session = onnxruntime.InferenceSession(artifact.path, options())
        (output,) = session.run(None, {"input": probe(artifact.inputs)[0].numpy()})
        assert np.abs(output.flatten() - artifact.expected).max() < 1e-4
