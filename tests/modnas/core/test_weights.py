"""A supernetwork whose weights come from a file, and a search that leaves them alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from ofa_published import published_names
from safetensors.torch import save_file
from torch import nn

from modnas.search import Search, SearchConfig
from modnas.search.devices import SearchDevice
from modnas.spaces import get_space
from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.checkpoint import load_published
from modnas.tasks.weight_sharing import SupernetworkLoss

pytestmark = pytest.mark.trains

CELLS = get_space("nasbench201", channels=2, cells=1, classes=3, input_shape=(1, 8, 8))
MOBILE = MobileNetV3(width_percent=25, classes=3, input_shape=(1, 40, 40), min_side=16)
CONFIG = SearchConfig(epochs=2, warmup_epochs=3, bank=4, front_size=4, learning_rate=0.1, freeze_weights=True)


def made(space, seed=0):
    torch.manual_seed(seed)
    return space.supernetwork()


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(2):
        yield torch.randn(6, 1, 8, 8, generator=generator), torch.randint(3, (6,), generator=generator)


def refuse(epoch):
    raise AssertionError("training data was asked for")


def make_search(space, supernetwork, config=CONFIG, train_batches=refuse):
    costs = torch.rand(space.width, generator=torch.Generator().manual_seed(7))
    device = SearchDevice(
        "a",
        torch.rand(10, generator=torch.Generator().manual_seed(1)),
        lambda samples: (samples @ costs).unsqueeze(1),
        torch.zeros(1),
        torch.ones(1) * len(space.options),
    )
    return Search(
        space,
        supernetwork,
        [device],
        train_batches=train_batches,
        valid_batches=batches,
        task_loss=SupernetworkLoss(supernetwork, list(batches(9))),
        config=config,
    )


def run(search):
    while not search.finished:
        search.run_epoch()
        search.validate()
    return search


@pytest.mark.parametrize("space", [CELLS, MOBILE], ids=lambda space: space.name)
def test_frozen_weights_are_bit_identical_after_a_search(space):
    supernetwork = made(space)
    before = state(supernetwork)
    search = make_search(space, supernetwork)
    assert search.warm, "there is nothing to warm up"
    untouched = state(search.hypernetwork)
    run(search)
    assert same(before, state(supernetwork))
    assert not same(untouched, state(search.hypernetwork)), "the upper level learns"
    assert all(parameter.grad is None for parameter in supernetwork.parameters())


def test_a_search_that_trains_changes_them():
    supernetwork = made(CELLS)
    before = state(supernetwork)
    config = replace(CONFIG, warmup_epochs=0, freeze_weights=False)
    run(make_search(CELLS, supernetwork, config, batches))
    assert not same(before, state(supernetwork))


def test_a_frozen_search_continues_with_the_weights_of_its_checkpoint():
    straight = run(make_search(CELLS, made(CELLS)))
    stopped = make_search(CELLS, made(CELLS))
    stopped.run_epoch()
    stopped.validate()
    tensors, meta = stopped.checkpoint()
    fresh = make_search(CELLS, made(CELLS, seed=1))
    fresh.restore(tensors, json.loads(json.dumps(meta)))
    assert same(straight.checkpoint()[0], run(fresh).checkpoint()[0])


def test_checkpoints_from_before_there_was_the_setting_are_read():
    config = replace(CONFIG, freeze_weights=False)
    tensors, meta = make_search(CELLS, made(CELLS), config).checkpoint()
    del meta["config"]["freeze_weights"]
    make_search(CELLS, made(CELLS, seed=1), config).restore(tensors, meta)
    with pytest.raises(ValueError, match="the checkpoint's config"):
        make_search(CELLS, made(CELLS)).restore(tensors, meta)


@pytest.mark.parametrize("part", ["supernetwork.", "hypernetwork.", "best."])
@pytest.mark.parametrize("flaw", ["not a number", "integers", "cut"])
def test_checkpoints_with_flawed_weights_are_refused(part, flaw):
    tensors, meta = make_search(CELLS, made(CELLS)).checkpoint()
    name = next(n for n, t in tensors.items() if n.startswith(part) and t.is_floating_point() and t.dim())
    tensor = tensors[name]
    tensors[name] = {"not a number": tensor * float("nan"), "integers": tensor.int(), "cut": tensor[:-1]}[
        flaw
    ]
    with pytest.raises(ValueError, match=name.removeprefix(part)):
        make_search(CELLS, made(CELLS, seed=1)).restore(tensors, json.loads(json.dumps(meta)))


@pytest.mark.parametrize("space", [CELLS, MOBILE], ids=lambda space: space.name)
def test_weights_are_read_from_a_state_dict_or_a_checkpoint(space, tmp_path):
    source = made(space)
    own, checkpoint = tmp_path / "own.safetensors", tmp_path / "checkpoint.safetensors"
    save_file(state(source), own)
    save_file(make_search(space, source).checkpoint()[0], checkpoint)
    for path in (own, checkpoint):
        other = made(space, seed=1)
        assert not same(state(source), state(other))
        space.load_weights(other, path)
        assert same(state(source), state(other))


def test_mobilenetv3_reads_published_files(tmp_path):
    published = {name: torch.rand(shape) for name, shape in published_names(MOBILE).items()}
    path = tmp_path / "ofa_mbv3_d234_e346_k357_w1.2"
    torch.save({"state_dict": published}, path)
    network = made(MOBILE)
    MOBILE.load_weights(network, path)
    expected = made(MOBILE, seed=1)
    load_published(expected, published)
    assert same(state(expected), state(network))
    with pytest.raises(ValueError, match="no safetensors file"):
        CELLS.load_weights(made(CELLS), path)


def test_published_files_need_not_count_batches():
    published = {name: torch.rand(shape) for name, shape in published_names(MOBILE).items()}
    full, without = made(MOBILE), made(MOBILE)
    load_published(full, published)
    load_published(without, {n: t for n, t in published.items() if not n.endswith("num_batches_tracked")})
    assert all(map(torch.equal, full.parameters(), without.parameters()))


@pytest.mark.parametrize("content", [b"", b"nothing", None], ids=["empty", "damaged", "other"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_wrong_files_are_refused_and_change_nothing(tmp_path, name, content):
    path = tmp_path / name
    foreign = {"weight": torch.zeros(2)}
    if content is not None:
        path.write_bytes(content)
    elif path.suffix == ".safetensors":
        save_file(foreign, path)
    else:
        torch.save(foreign, path)
    network = made(MOBILE)
    before = state(network)
    with pytest.raises(ValueError, match=r"can be read|of another network|no place for"):
        MOBILE.load_weights(network, path)
    assert same(before, state(network))


def test_a_supernetwork_keeps_its_state_whatever_passes_through_it():
    network = made(MOBILE).train()
    before = state(network)
    for sample in MOBILE.encode(MOBILE.sample(2, torch.Generator().manual_seed(0))):
        network(torch.randn(4, 1, 40, 40), sample)
    assert same(before, state(network))
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
