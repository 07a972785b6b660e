"""What every task must do, whatever its data are."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from modnas.core.task import AnyTask
from modnas.tasks import TaskError, get_task

_SPLITS = ("train", "valid", "test")
_BATCH = 16


def check_task(
    name: str,
    data_dir: Path | None = None,
    *,
    limit: int | None = None,
    network: Callable[[AnyTask], nn.Module] | None = None,
) -> None:
    """Check a task.

    Args:
        data_dir: folder of its data, where it needs one.
        limit: cap on the training items, where all of them take long.
        network: makes a network for the task; by default a linear one, for inputs that are numbers.

    Raises:
        AssertionError: it does not do what a task must; the message says what.
        TaskError: there is no such task, or its data are not there.
    """
    task = get_task(name, data_dir, seed=0, limit=limit)
    check_description(task, name)
    check_batches(task)
    check_division(task, get_task(name, data_dir, seed=0, limit=limit), get_task(name, data_dir, 1, limit))
    check_limit(task, get_task(name, data_dir, seed=0, limit=task.count(("train", "valid")) // 2))
    check_errors(task, (network or _linear)(task))
    check_variants(task)


def check_description(task: AnyTask, name: str) -> None:
    """What it says of itself."""
    assert task.name == name, f"it is found as {name!r} and calls itself {task.name!r}"
    assert task.classes >= 2 and task.input_shape and min(task.input_shape) >= 1
    assert 0 < task.chance_error <= 100, f"chance_error is a percentage, not {task.chance_error}"
    assert all("\n" not in note for note in task.notes), "a note is one line"
    task.check()
    sizes = [task.count((split,)) for split in _SPLITS]
    assert min(sizes) >= 1, f"a split is empty: {dict(zip(_SPLITS, sizes, strict=True))}"
    assert task.count(("train", "valid")) == sizes[0] + sizes[1]


def check_batches(task: AnyTask) -> None:
    """Passes over the data: each item once, in an order that epoch and seed fix."""
    for split in _SPLITS:
        batches = list(task.batches(split, _BATCH))
        count = sum(len(targets) for _, targets in batches)
        assert count == task.count((split,)), f"{split}: a pass has {count} of {task.count((split,))} items"
        for inputs, targets in batches:
            assert len(inputs) == len(targets) <= _BATCH, f"{split}: a batch has {len(inputs)} items"
            assert bool(inputs.isfinite().all()), f"{split}: an input is not finite"
            if inputs.is_floating_point():
                assert tuple(inputs.shape[1:]) == tuple(task.input_shape), f"{split}: {inputs.shape}"
            assert int(targets.min()) >= 0 and int(targets.max()) < task.classes, f"{split}: targets"
    first = _items(task, epoch=0)
    assert _same(first, _items(task, epoch=0)), "the same epoch comes in another order"
    assert not _same(first, _items(task, epoch=1)), "every epoch comes in the same order"
    for (inputs, _), (changed, _) in zip(
        task.batches("train", _BATCH), task.batches("train", _BATCH, augment=True), strict=True
    ):
        assert changed.shape[1:] == inputs.shape[1:] or not inputs.is_floating_point(), "augmented to a size"
    joined = sum(len(targets) for _, targets in task.batches(("train", "valid"), _BATCH))
    assert joined == task.count(("train", "valid"))
    try:
        next(iter(task.batches("no-such-split", _BATCH)))
    except ValueError:
        return
    raise AssertionError("a split that there is not has batches")


def check_division(task: AnyTask, again: AnyTask, other: AnyTask) -> None:
    """The same seed gives the same task; another one may divide it otherwise, but has the same test."""
    assert _same(_items(task), _items(again)), "made twice with one seed, it is divided in two ways"
    # Inputs may be normalised by what is trained with.
    some, others = ([targets for _, targets in one.batches("test", _BATCH)] for one in (task, other))
    assert _same(some, others), "the test items depend on the seed"


def check_limit(task: AnyTask, half: AnyTask) -> None:
    """A limit of half of train and valid together holds for train, and leaves the test as it is."""
    most, found = task.count(("train", "valid")) // 2, half.count(("train",))
    assert found <= most, f"{found} items to train with, beyond the limit of {most}"
    assert half.count(("test",)) == task.count(("test",)), "the limit cuts the test"


def check_errors(task: AnyTask, network: nn.Module) -> None:
    """Its loss can be trained; its error is a percentage."""
    inputs, targets = next(iter(task.batches("train", _BATCH)))
    logits = network(inputs)
    assert logits.shape[-1] == task.classes, f"the network gives {tuple(logits.shape)}"
    loss = task.loss(logits, targets)
    assert loss.shape == () and float(loss.detach()) > 0 and bool(loss.isfinite()), f"the loss is {loss}"
    assert loss.requires_grad, "the loss has no gradient"
    loss.backward()  # type: ignore[no-untyped-call]
    assert any(p.grad is not None and bool(p.grad.any()) for p in network.parameters()), "it has none"
    error = task.test_error(network.eval())
    assert 0 <= error <= 100 and math.isclose(error, task.test_error(network)), f"test_error is {error}"


def check_variants(task: AnyTask) -> None:
    """The same task judged, scored, sized or placed otherwise."""
    assert task.judged_on_valid().count(("test",)) == task.count(("valid",)), "judged_on_valid"
    scored = sum(len(targets) for _, targets in task.validation)
    assert 1 <= scored <= task.count(("valid",)), f"validation has {scored} items"
    with suppress(TaskError):
        fewer = task.scored_on(2)
        assert sum(len(targets) for _, targets in fewer.validation) == min(2, scored), "scored_on"
    with suppress(TaskError):
        larger = task.resized(2 * task.input_shape[-1])
        assert larger.input_shape[-1] == 2 * task.input_shape[-1], "resized"
    assert _same(_items(task), _items(task.to("cpu"))), "to(device) changes the data"


def _items(task: AnyTask, epoch: int = 0) -> list[Tensor]:
    """Inputs and targets of the first batches to train with."""
    batches = zip(range(8), task.batches("train", _BATCH, epoch=epoch), strict=False)
    return [tensor for _, batch in batches for tensor in batch]


def _same(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(map(torch.equal, some, others))


def _linear(task: AnyTask) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(task.input_shape), task.classes))
