import pytest
import torch

from modnas.search.conditioned import ConditionedHypernetwork

OPTIONS = (4, 3, 3)


def build(devices, objectives=2):
    return ConditionedHypernetwork(OPTIONS, devices, objectives, generator=torch.Generator().manual_seed(0))


def nearly_equal_devices():
    draw = torch.Generator().manual_seed(1)
    return torch.rand(1, 10, generator=draw) + 0.06 * torch.randn(5, 10, generator=draw)


def test_devices_that_hardly_differ_get_different_logits():
    devices = nearly_equal_devices()
    hypernetwork = build(devices)
    preferences = torch.tensor([[0.5, 0.5]]).expand(5, 2)
    logits = hypernetwork(preferences, devices).detach()
    by_preference = hypernetwork(torch.tensor([[0.1, 0.9], [0.9, 0.1]]), devices[:1].expand(2, -1)).detach()
    assert float(torch.pdist(logits).min()) > 0.1 * float(torch.pdist(by_preference))


@pytest.mark.parametrize("count", [1, 5])
def test_pretraining_makes_every_choice_equally_likely(count):
    hypernetwork = build(nearly_equal_devices()[:count], objectives=3)
    hypernetwork.pretrain_uniform()
    logits = hypernetwork(torch.rand(7, 3).softmax(1), torch.randn(7, 10))
    for part in logits.split(OPTIONS, 1):
        torch.testing.assert_close(part.softmax(1), torch.full_like(part, 1 / part.shape[1]))


def test_a_device_far_from_all_known_ones_is_taken_to_be_at_their_edge():
    devices = nearly_equal_devices()
    hypernetwork = build(devices)
    far, farther = (devices.mean(0) + scale * torch.ones(10) for scale in (10.0, 100.0))
    preferences = torch.tensor([[0.5, 0.5]])
    assert torch.equal(hypernetwork(preferences, far[None]), hypernetwork(preferences, farther[None]))


def test_what_it_knows_of_the_devices_is_part_of_its_state():
    devices = nearly_equal_devices()
    known, other = build(devices), build(devices + 1)
    other.load_state_dict(known.state_dict())
    preferences = torch.tensor([[0.3, 0.7]])
    assert torch.equal(known(preferences, devices[:1]), other(preferences, devices[:1]))


def test_device_gradients_are_those_of_one_device_at_a_time():
    devices = nearly_equal_devices()[:2]
    hypernetwork = build(devices)
    draw = torch.Generator().manual_seed(4)
    preferences, cotangents = torch.rand(2, 3, 2, generator=draw), torch.randn(2, 3, 10, generator=draw)
    found = hypernetwork.device_gradients(preferences, devices, cotangents)
    for t in range(2):
        logits = hypernetwork(preferences[t], devices[t].expand(3, -1))
        parts = torch.autograd.grad(logits, list(hypernetwork.parameters()), cotangents[t])
        torch.testing.assert_close(found[t], torch.cat([part.flatten() for part in parts]))
