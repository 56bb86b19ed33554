"""AdapMTL: the thresholds' gradients by autograd, a whole training by another implementation, and its end."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.sparse.networks import density, network, sparse_names, started, step
from torch import Tensor, nn
from torch.nn.utils import parametrize

from niwaki.errors import SettingError
from niwaki.methods.sparse.adapmtl import AdapMTL, soft_threshold, threshold_gradients
from niwaki.tasks import task_losses


@given(st.integers(0, 1000), st.floats(-4, 2))
@settings(max_examples=25, derandomize=True)
def test_gradients_equal_those_of_autograd(seed: int, place: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    logit = torch.tensor(place, dtype=torch.float64, requires_grad=True)
    pull = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad((soft_threshold(raw, logit) * pull).sum(), [raw, logit])
    with torch.no_grad():
        found = threshold_gradients(raw, logit, pull)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


class Threshold(nn.Module):
    """The same weights as torch's own parametrisations make them."""

    def __init__(self, logit: nn.Parameter) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, raw: Tensor) -> Tensor:
        return raw.sign() * torch.relu(raw.abs() - torch.sigmoid(self.logit))


def part_of(name: str) -> str:
    return f"head {name.split('.')[1]}" if name.startswith("heads") else "trunk"


def test_a_training_equals_one_with_parametrised_layers() -> None:
    """Twelve steps with weight decay and momentum: outputs, thresholds and gradients are those of autograd."""
    method = AdapMTL(density=0.01, initial=-4.0, strength=0.1)
    model = network(2)
    copy, run, tasks, data = started(method, model, steps=200)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.1, weight_decay=1e-2), momentum=0.9)
    other: Any = deepcopy(model)
    names = sparse_names(run)
    other.trunk[-1].p = 0.0
    logits = {part: nn.Parameter(torch.tensor(-4.0)) for part in run.logits}
    assert set(logits) == {"trunk", "head t0", "head t1"}
    plain = torch.optim.SGD(other.parameters(), lr=0.1, weight_decay=1e-2, momentum=0.9)
    slow = torch.optim.Adam(logits.values(), lr=2 * 4.0 / 100)
    for name in names:
        parametrize.register_parametrization(
            other.get_submodule(name.removesuffix(".weight")), "weight", Threshold(logits[part_of(name)])
        )
    for number in range(12):
        x, targets = data[number % 3]
        torch.testing.assert_close(copy(x), other(x), rtol=1e-4, atol=1e-5)
        copy = step(copy, run, optimizer, (x, targets), tasks)
        for one in (plain, slow):
            one.zero_grad()
        total = torch.stack(list(task_losses(tasks, other(x), targets).values())).sum()
        (total + 0.05 * torch.stack([each.square() for each in logits.values()]).sum()).backward()
        plain.step()
        slow.step()
        for part, logit in logits.items():
            assert run.logits[part] == pytest.approx(logit.item(), rel=1e-3)
    assert not run.settled
    assert min(run.logits.values()) > -4.0
    assert density(copy, names)[0] < density(copy, names)[1]


def whole(method: AdapMTL, *, steps: int = 60, tasks: int = 2) -> tuple[Any, Any, int]:
    copy, run, chosen, data = started(method, network(tasks), steps=steps)
    optimizer = torch.optim.AdamW(run.parameter_groups(copy, lr=1e-2))
    ended = -1
    for number in range(steps):
        copy = step(copy, run, optimizer, data[number % 3], chosen)
        ended = number + 1 if run.settled and ended < 0 else ended
    return copy, run, ended


def test_thresholds_stop_where_the_target_is_reached() -> None:
    copy, run, ended = whole(AdapMTL(density=0.3))
    assert 0 < ended < 30, "the thresholds came there by themselves"
    frozen = run.logits
    assert all(-8.0 < logit < 0.5 for logit in frozen.values())
    size = run.subject.size
    assert sum(run.masks.kept.values()) == round(0.3 * size)
    small = run.finish(copy)
    assert density(small, sparse_names(run))[0] <= round(0.3 * size)
    record = run.findings()["sparsity"]
    assert sum(each.kept for each in record.layers) == round(0.3 * size)
    level = torch.tensor(frozen["trunk"]).sigmoid()
    assert record.notes[-1].startswith(f"thresholds frozen at step {ended}: trunk {level:.2g}, head t0")


def test_thresholds_that_come_too_late_are_cut_short() -> None:
    method = AdapMTL(density=0.05, strength=0.0, until=0.25)
    copy, run, ended = whole(method, steps=20)
    assert ended == 5
    assert run.state_dict()["frozen_at"] == 5
    found, size = density(run.finish(copy), sparse_names(run))
    assert found == round(0.05 * size)
    assert "before they had come to the target" in run.findings()["sparsity"].notes[-1]


def test_thresholds_that_jump_past_the_target_step_back_to_it() -> None:
    """One step takes all weights below their thresholds; those that were highest stay, and the network lives."""
    method = AdapMTL(density=0.2, initial=-6.0, until=1.0)
    copy, run, tasks, data = started(method, network(2), steps=3)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=1e-3))
    ended = 0
    for number, batch in enumerate(data, start=1):
        copy = step(copy, run, optimizer, batch, tasks)
        ended = ended or (number if run.settled else 0)
    assert 0 < ended < 3
    found, size = density(run.finish(copy), sparse_names(run))
    assert round(0.2 * size) - 2 <= found <= round(0.2 * size)


def test_training_that_ends_early_and_no_training_at_all() -> None:
    copy, run, tasks, data = started(AdapMTL(density=0.1), network(2), steps=100)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=1e-2))
    copy = step(copy, run, optimizer, data[0], tasks)
    assert not run.settled
    found, size = density(run.finish(copy), sparse_names(run))
    assert found == round(0.1 * size)
    copy, run, _, _ = started(AdapMTL(density=0.1), network(2), steps=0)
    found, size = density(run.finish(copy), sparse_names(run))
    assert found == round(0.1 * size)


def test_the_model_is_plain_and_thresholded_between_steps() -> None:
    copy, run, tasks, data = started(AdapMTL(density=0.05, initial=-3.0), network(2), steps=100)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=1e-2))
    level = torch.tensor(-3.0).sigmoid()
    for name in sparse_names(run):
        raw = network(2).get_parameter(name)
        torch.testing.assert_close(copy.get_parameter(name), raw.sign() * (raw.abs() - level).relu())
    copy = step(copy, run, optimizer, data[0], tasks)
    assert [type(each) for each in copy.modules()] == [type(each) for each in network(2).modules()]
    assert copy.state_dict().keys() == network(2).state_dict().keys()


def test_a_layer_that_no_gradient_reaches_keeps_its_weights() -> None:
    copy, run, tasks, data = started(AdapMTL(density=0.05), network(2), steps=100)
    copy.get_parameter("trunk.3.weight").requires_grad_(False)
    before = copy.get_parameter("trunk.3.weight").clone()
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=1e-3))
    copy = step(copy, run, optimizer, data[0], tasks)
    torch.testing.assert_close(copy.get_parameter("trunk.3.weight"), before, rtol=0.1, atol=5e-3)


def test_settings_outside_are_refused() -> None:
    with pytest.raises(SettingError, match="initial"):
        AdapMTL(density=0.1, initial=0.0)
