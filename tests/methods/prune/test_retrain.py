"""The re-initialised arm: the small network with random weights, and an optimizer without a past."""

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from niwaki.errors import ContractError, SettingError
from niwaki.methods import Chain, Method, StructuredPruning, methods
from niwaki.settings import Budget
from niwaki.surgery import plans_of
from niwaki.tasks import Task

Step = Callable[..., nn.Module]


def arm(**changes: Any) -> StructuredPruning:
    values: dict[str, Any] = {"budget": Budget(macs=0.5), "round_to": 1, "then": "retrain", "begin": 0.25}
    return StructuredPruning(**{**values, **changes})


@pytest.mark.parametrize("build", [False, True])
def test_the_small_network_starts_from_random_weights(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step, build: bool
) -> None:
    tuned, _ = StructuredPruning(budget=Budget(macs=0.5), round_to=1).start(tiny, example, tasks, steps=0)
    weights = []
    for seed in (3, 1, 3):
        state = torch.get_rng_state()
        model, run = arm(seed=seed, build=type(tiny) if build else None).start(tiny, example, tasks, steps=8)
        optimizer = torch.optim.Adam(run.parameter_groups(model, lr=1e-3))
        for batch in batches[:2]:
            model = step(model, run, optimizer, batch, tasks)
        assert torch.equal(state, torch.get_rng_state())
        shapes = {name: each.shape for name, each in model.named_parameters()}
        assert shapes == {name: each.shape for name, each in tuned.named_parameters()}
        held = [each for group in optimizer.param_groups for each in group["params"]]
        assert all(a is b for a, b in zip(held, model.parameters(), strict=True))
        assert not optimizer.state
        weights.append(model.get_parameter("first.0.weight").detach().clone())
        kept = torch.tensor(plans_of(model)[0].group("first.0").kept)
        assert not torch.equal(weights[-1], tiny.get_parameter("first.0.weight")[kept])
        assert torch.equal(model.get_buffer("first.1.running_mean"), torch.zeros(len(kept)))
        step(model, run, optimizer, batches[2], tasks)
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_one_shot_and_its_settings_survive_a_round_trip(tiny: nn.Module, example: Tensor) -> None:
    method = arm(begin=0.0, build=nn.Identity)
    assert "build" not in method.model_dump()
    assert StructuredPruning(**method.model_dump(mode="json")) == arm(begin=0.0)
    with pytest.raises(ContractError, match="build makes another network: 'first.0.weight' is missing there"):
        method.start(tiny, example, steps=4)
    with pytest.raises(
        ContractError, match=r"another network: 'first.0.weight' is \(.*float64\) there and \(.*float32"
    ):
        arm(begin=0.0, build=lambda: type(tiny)().double()).start(tiny, example, steps=4)


@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_a_network_that_can_not_be_built_is_refused_before_any_training(
    tiny: nn.Module, example: Tensor, begin: float
) -> None:
    with pytest.raises(SettingError, match="a function that makes the dense network anew, .*; got a network"):
        arm(build=tiny)
    wide = type(tiny)()
    wide.get_submodule("first")[0] = nn.Conv2d(3, 14, 1)  # type: ignore[operator]  # it is a Sequential
    with pytest.raises(ContractError, match="build makes another network: 'first.0.weight' is"):
        arm(begin=begin, build=lambda: deepcopy(wide)).start(tiny, example, steps=8)


def test_a_network_that_is_built_draws_on_no_ones_account(tiny: nn.Module, example: Tensor) -> None:
    def build() -> nn.Module:
        random.random()
        np.random.rand()  # noqa: NPY002 - as older code does
        return type(tiny)()

    states = random.getstate(), np.random.get_state(legacy=False)["state"]["pos"], torch.get_rng_state()  # noqa: NPY002
    arm(begin=0.0, build=build).start(tiny, example, steps=8)
    assert random.getstate() == states[0]
    assert np.random.get_state(legacy=False)["state"]["pos"] == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


class Scaled(nn.Module):
    """A parameter that no reset_parameters covers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.layers = nn.Sequential(nn.Conv2d(3, 12, 1), nn.ReLU(), nn.Conv2d(12, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x) * self.scale
        return found


def test_what_can_not_be_built_anew_is_refused(tiny: nn.Module, example: Tensor) -> None:
    with pytest.raises(ContractError, match=r"'Scaled' \(Scaled\) has no reset_parameters\(\); give build="):
        arm().start(Scaled(), example, steps=8)
    arm(build=Scaled).start(Scaled(), example, steps=8)
    tiny.get_submodule("first").requires_grad_(requires_grad=False)
    with pytest.raises(ContractError, match="would leave the frozen parameter 'first.0.weight' at random"):
        arm().start(tiny, example, steps=8)


def test_a_training_that_ends_too_early_is_refused(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    model, run = arm(begin=0.5).start(tiny, example, tasks, steps=8)
    model = step(model, run, torch.optim.SGD(model.parameters(), lr=0.1), batches[0], tasks)
    with pytest.raises(ContractError, match="ended after 1 steps, before the last cut at step 4"):
        run.finish(model)


def test_after_a_rewire_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rewire(Method):
        stage = "rewire"
        kind: str = "rewire"

        def start(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    monkeypatch.setitem(methods._things, "rewire", Rewire)
    with pytest.raises(SettingError, match="trains from random weights in the end can't come after rewire"):
        Chain([Rewire(), arm()])
    assert Chain([Rewire(), arm(then="finetune")]).parts[1].restarts is False
