"""Weights for each task: a pass and statistics for each, T networks in the end, or one at the end of the way."""

from copy import deepcopy
from typing import Any, NamedTuple

import pytest
import torch
from tests.methods.expand.networks import batches, step, two
from torch import Tensor, nn

import niwaki as nw
from niwaki.contract import is_routed
from niwaki.errors import ContractError
from niwaki.methods import Overparam
from niwaki.methods.expand.factors import Factors
from niwaki.methods.expand.passes import TaskNorm, join_passes, passes_of
from niwaki.methods.expand.wiring import expansions
from niwaki.models import TaskNets

EXAMPLE = torch.zeros(1, 3, 5, 5)


def begin(method: Overparam, net: nn.Module, steps: int = 4) -> Any:
    model, run = method.start(net, EXAMPLE, steps=steps)
    return model, run, torch.optim.AdamW(run.parameter_groups(model, lr=3e-2))


def test_each_task_answers_from_its_own_weights() -> None:
    model, _, _ = begin(Overparam(combine="per_task"), two(norm=False))
    with torch.no_grad():
        for _, _, each in expansions(model):
            for number, scale in enumerate(each.scales):
                scale.add_(0.3 * number + 0.1)
    x = batches(1)[0][0]
    together = model(x)
    for task in ("near", "far"):
        alone = deepcopy(model)
        join_passes(alone)
        for each in alone.modules():
            if isinstance(each, Factors):
                each.task = task
        torch.testing.assert_close(together[task], alone(x)[task])
    assert is_routed(model) == is_routed(two())


def test_two_networks_come_of_it() -> None:
    model, run, optimizer = begin(Overparam(combine="per_task"), two())
    for batch in batches(4):
        model = step(model, run, optimizer, batch)
    nets = run.finish(model)
    assert isinstance(nets, TaskNets)
    assert nets.tasks == ("near", "far")
    model.eval()
    nets.eval()
    x = batches(1)[0][0]
    for task, answer in nets(x).items():
        torch.testing.assert_close(answer, model(x)[task], atol=1e-5, rtol=1e-4)
        assert type(nets.nets[task]).__name__ == "Two"
        assert type(nets.get_submodule(f"nets.{task}.trunk.1")) is nn.BatchNorm2d
    near, far = (nets.get_submodule(f"nets.{task}").state_dict() for task in nets.tasks)
    assert not torch.allclose(near["trunk.0.weight"], far["trunk.0.weight"])
    assert not torch.allclose(near["trunk.1.running_mean"], far["trunk.1.running_mean"])


def test_the_way_to_one_weight_keeps_the_optimizer() -> None:
    model, run, optimizer = begin(Overparam(combine="anneal", until=0.5, alternate="joint"), two())
    first, second, third, fourth = batches(4)
    assert passes_of(model) == ("near", "far")
    after = step(model, run, optimizer, first)
    assert after is model
    assert not run.settled
    with pytest.raises(ContractError, match="after 1 of 4 steps the tasks still see weights of their own"):
        run.finish(model)
    momentum = optimizer.state[model.get_parameter("trunk.1.weight")]["exp_avg"].clone()
    after = step(model, run, optimizer, second)
    assert after is not model
    assert run.settled
    assert passes_of(after) == ()
    assert type(after).__name__ == "Two"
    held = [each for group in optimizer.param_groups for each in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, after.parameters()))
    kept = optimizer.state[after.get_parameter("trunk.1.weight")]["exp_avg"]
    assert kept.shape == momentum.shape
    assert kept.abs().sum() > 0
    for batch in (third, fourth):
        assert step(after, run, optimizer, batch) is after
    assert type(run.finish(after).get_submodule("trunk.0")) is nn.Conv2d


def test_statistics_of_all_tasks_are_those_of_all_activations() -> None:
    plain = nn.BatchNorm1d(3, momentum=None)
    norm = TaskNorm(plain, ("a", "b"), ("a", "b"))
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(500, 3, generator=generator) for _ in range(2))
    data = {"a": first, "b": 2 * second + 3}
    for task, x in data.items():
        norm.task = task
        norm(x)
    joined = norm.joined()
    every = torch.cat(list(data.values()))
    torch.testing.assert_close(joined.running_mean, every.mean(0))
    torch.testing.assert_close(joined.running_var, every.var(0), rtol=5e-3, atol=0)
    alone = norm.joined("b")
    torch.testing.assert_close(alone.running_mean, data["b"].mean(0))


def test_a_norm_that_averages_answers_before_it_has_seen_anything() -> None:
    plain = nn.BatchNorm1d(3, momentum=None).eval()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(TaskNorm(plain, ("a", "b"), ("a", "b")).eval()(x), plain(x))


class Pair(NamedTuple):
    """Answers in a form of the user's own."""

    near: Tensor
    far: Tensor


@pytest.mark.parametrize("form", [tuple, list, lambda values: Pair(*values)])
def test_answers_keep_their_form(form: Any) -> None:
    class Formed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = two()

        def forward(self, x: Tensor) -> Any:
            return form(self.net(x).values())

    tasks = [nw.Regression(name="near"), nw.Regression(name="far")]
    model, _ = Overparam(combine="per_task").start(Formed().eval(), EXAMPLE, tasks, steps=2)
    expected, found = Formed().eval()(EXAMPLE), model.eval()(EXAMPLE)
    assert type(found) is type(expected)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)


def test_one_task_needs_one_pass() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = two()

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.net(x)["near"]
            return answer

    model, run = Overparam(combine="per_task").start(One(), EXAMPLE, steps=2)
    assert passes_of(model) == ()
    assert isinstance(run.finish(model), One)
