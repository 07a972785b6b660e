import pytest
import torch

from modnas.search.hypernetwork import MetaHypernetwork, default_tables

OPTIONS = (5,) * 6


def build(seed=0, **settings):
    settings = {"options": OPTIONS, "device_width": 10, "objectives": 2, **settings}
    return MetaHypernetwork(**settings, generator=torch.Generator().manual_seed(seed))


def by_the_formula(hypernetwork, preference, device):
    """The definition, one member of the bank at a time, nearest rows."""
    total = 0.0
    scores = torch.stack([torch.sin(device @ key / len(key) ** 0.5) for key in hypernetwork.keys])
    for k, weight in enumerate(scores.softmax(0)):
        rows = [
            table[k, round(100 * float(preference[index]))]
            for table, (_, index) in zip(hypernetwork.banks, hypernetwork.tables, strict=True)
        ]
        total = total + weight * torch.cat(rows)
    return total


@pytest.mark.parametrize("objectives", [2, 3])
def test_forward_is_the_mixture_of_embedding_rows(objectives):
    hypernetwork = build(objectives=objectives, device_width=10 * (objectives - 1), bank=7)
    preferences = torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.334, 0.666], [1.0, 0.0, 0.0]])[:, :objectives]
    devices = torch.rand(3, 10 * (objectives - 1), generator=torch.Generator().manual_seed(1))
    logits = hypernetwork(preferences, devices)
    for row, preference, device in zip(logits, preferences, devices, strict=True):
        torch.testing.assert_close(row, by_the_formula(hypernetwork, preference, device))


def test_table_layouts():
    assert default_tables(30, 2) == ((30, 0),)
    assert default_tables(30, 3) == ((15, 1), (15, 2))
    assert default_tables(31, 4) == ((11, 1), (10, 2), (10, 3))
    custom = build(objectives=3, tables=((10, 0), (20, 2)))
    assert [tuple(table.shape) for table in custom.banks] == [(50, 101, 10), (50, 101, 20)]
    with pytest.raises(ValueError, match="add up"):
        build(tables=((10, 0),))
    with pytest.raises(ValueError, match="index a preference"):
        build(tables=((30, 2),))


def test_only_the_indexed_coordinate_matters():
    hypernetwork = build(objectives=3, device_width=10)
    device = torch.rand(1, 10)
    low, high = (hypernetwork(torch.tensor([[0.5 - x, 0.5, x]]), device) for x in (0.1, 0.4))
    assert torch.equal(low[:, :15], high[:, :15])
    assert not torch.allclose(low[:, 15:], high[:, 15:])


def test_smoothing_weighs_neighbouring_rows_by_distance():
    weights = build(smoothing=2).row_weights(torch.tensor([0.5, 0.0, 1.0, 0.503]))
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    torch.testing.assert_close(weights[0, 47:54], torch.tensor([0, 1, 2, 3, 2, 1, 0]) / 9)
    torch.testing.assert_close(weights[1, :4], torch.tensor([3, 2, 1, 0]) / 6)
    torch.testing.assert_close(weights[2, -4:], torch.tensor([0, 1, 2, 3]) / 6)
    assert weights[3, 50] > weights[3, 51] > weights[3, 49]
    plain = build().row_weights(torch.tensor([0.497, 0.503]))
    assert plain.argmax(1).tolist() == [50, 50]
    assert plain.sum() == 2


def test_pretraining_makes_every_choice_equally_likely():
    hypernetwork = build(objectives=3, options=(4, 4, 3), device_width=6)
    preferences = torch.rand(50, 3).softmax(1)
    devices = 10 * torch.randn(50, 6)
    before = hypernetwork(preferences, devices).split(hypernetwork.options, 1)
    assert max(float((p.detach().softmax(1) - 1 / p.shape[1]).abs().max()) for p in before) > 0.05
    hypernetwork.pretrain_uniform()
    for part in hypernetwork(preferences, devices).split(hypernetwork.options, 1):
        torch.testing.assert_close(part.softmax(1), torch.full_like(part, 1 / part.shape[1]))


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("smoothing", [0, 3])
def test_device_gradients_are_those_of_one_device_at_a_time(smoothing, objectives):
    hypernetwork = build(smoothing=smoothing, bank=5, objectives=objectives)
    draw = torch.Generator().manual_seed(4)
    preferences, cotangents = (
        torch.rand(3, 2, objectives, generator=draw),
        torch.randn(3, 2, 30, generator=draw),
    )
    devices = torch.rand(3, 10, generator=draw)
    found = hypernetwork.device_gradients(preferences, devices, cotangents)
    for t in range(3):
        logits = hypernetwork(preferences[t], devices[t].expand(2, -1))
        parts = torch.autograd.grad(logits, list(hypernetwork.parameters()), cotangents[t])
        torch.testing.assert_close(found[t], torch.cat([part.flatten() for part in parts]))


def test_after_pretraining_the_members_of_a_bank_still_learn_to_tell_devices_apart():
    hypernetwork = build(bank=6)
    hypernetwork.pretrain_uniform()
    devices = torch.rand(2, 10, generator=torch.Generator().manual_seed(2))
    preferences = torch.tensor([[[0.5, 0.5]]]).expand(2, 1, 2)
    opposite = torch.zeros(2, 1, 30)
    opposite[:, 0, 0] = torch.tensor([1.0, -1.0])
    by_device = hypernetwork.device_gradients(preferences, devices, opposite)
    keys = by_device[:, : hypernetwork.keys.numel()].sum(0)
    assert float(keys.abs().max()) > 1e-3
