"""Chains: order, shares of the steps, finishing of one part before the next starts, resuming in the middle."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.contract import Named
from niwaki.errors import ContractError, SettingError
from niwaki.methods import Chain, FilterSharing, Method, Overparam, Run, StructuredPruning
from niwaki.methods.base import Stage
from niwaki.records import Compression, RecordBase
from niwaki.settings import Budget

LOG: list[str] = []


class NotedRun(Run):
    """Writes down what is called, and counts steps."""

    def __init__(self, name: str, steps: int) -> None:
        self.name, self.steps, self.step = name, steps, 0

    def penalty(self, model: nn.Module) -> Tensor:
        return torch.tensor(float(self.steps))

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        LOG.append(f"{self.name} before")

    def after_backward(self, model: nn.Module) -> None:
        LOG.append(f"{self.name} after")

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        self.step += 1
        return model

    def finish(self, model: nn.Module) -> nn.Module:
        LOG.append(f"{self.name} finish after {self.step} of {self.steps}")
        return model

    def findings(self) -> Mapping[str, RecordBase]:
        return {"last": Compression(notes=(self.name,)), self.name: Compression(steps={"taken": self.step})}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = state["step"]


class Noted(Method):
    """A method that only takes notes."""

    stage: ClassVar[Stage] = "sparsify"
    kind: Literal["noted"] = "noted"
    name: str = "a"

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        LOG.append(f"{self.name} start")
        return deepcopy(model), NotedRun(self.name, steps)


class Early(Noted):
    """One that comes before all others."""

    stage: ClassVar[Stage] = "rewire"


def train(chain: Chain, steps: int) -> tuple[nn.Module, Run, Optimizer]:
    LOG.clear()
    model, run = chain.start(nn.Linear(2, 2), torch.zeros(1, 2), steps=steps)
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=0.1), momentum=0.9)
    for _ in range(steps):
        model = step(model, run, optimizer)
    return model, run, optimizer


def step(model: nn.Module, run: Run, optimizer: Optimizer) -> nn.Module:
    loss = model(torch.ones(1, 2)).square().mean()
    run.before_backward(model, {"output": loss})
    optimizer.zero_grad()
    (loss + run.penalty(model)).backward()
    run.after_backward(model)
    optimizer.step()
    return run.after_step(model, optimizer)


@pytest.mark.parametrize(
    ("shares", "steps", "expected"),
    [(None, 10, [5, 5]), (None, 7, [4, 3]), ((0.2, 0.8), 10, [2, 8]), ((0.0, 1.0), 3, [0, 3]), (None, 0, [0, 0])],
)
def test_steps_are_shared_out(shares: tuple[float, ...] | None, steps: int, expected: list[int]) -> None:
    assert Chain([Noted(), Noted()], shares=shares).lengths(steps) == expected


def test_changes_of_shape_are_counted_from_each_parts_start() -> None:
    half = StructuredPruning(budget=Budget(channels=0.75))
    rounds = StructuredPruning(budget=Budget(channels=0.5), rounds=2, until=1.0)
    assert Noted().moments(8) == []
    assert Chain([half, rounds, Noted()], shares=(0.5, 0.25, 0.25)).moments(16) == [0, 10, 12]


def test_one_part_finishes_before_the_next_starts() -> None:
    model, run, _ = train(Chain([Noted(name="a"), Noted(name="b")]), 4)
    small = run.finish(model)
    assert small is model
    expected = [
        "a start",
        *["a before", "a after"] * 2,
        "a finish after 2 of 2",
        "b start",
        *["b before", "b after"] * 2,
        "b finish after 2 of 2",
    ]
    assert expected == LOG


def test_parts_without_steps_are_passed_at_once() -> None:
    LOG.clear()
    _, run = Chain([Noted(name="a"), Noted(name="b")], shares=(0, 1)).start(nn.Linear(2, 2), None, steps=3)
    assert LOG == ["a start", "a finish after 0 of 0", "b start"]
    assert run.penalty(nn.Linear(1, 1)) == 3


def test_finishing_early_still_runs_every_part() -> None:
    LOG.clear()
    model, run = Chain([Noted(name="a"), Noted(name="b")]).start(nn.Linear(2, 2), None, steps=4)
    run.finish(model)
    assert LOG == ["a start", "a finish after 0 of 2", "b start", "b finish after 0 of 2"]


def test_the_optimizer_goes_on_with_the_next_parts_parameters() -> None:
    chain = Chain([Noted(name="a"), Noted(name="b")])
    model, run, optimizer = train(chain, 2)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert all(a is b for a, b in zip(held, model.parameters(), strict=True))
    before = deepcopy(optimizer.state[held[0]]["momentum_buffer"])
    assert before.abs().sum() > 0
    weight = held[0].detach().clone()
    step(model, run, optimizer)
    assert not torch.equal(weight, held[0])


def test_a_chain_goes_on_where_it_was_saved() -> None:
    chain = Chain([Noted(name="a"), Noted(name="b")])
    _, run, _ = train(chain, 3)
    again, resumed = chain.resume(nn.Linear(2, 2), torch.zeros(1, 2), steps=3, state=run.state_dict())
    groups = [["weight", "bias"]]
    assert resumed.state_dict() == run.state_dict() == {"done": 1, "groups": groups, "runs": [{"step": 2}, {"step": 1}]}
    assert isinstance(again, nn.Linear)
    again_held = resumed.parameter_groups(again, lr=0.5, weight_decay=0.1)
    assert again_held == [{"params": [again.weight, again.bias], "lr": 0.5, "weight_decay": 0.1}]


def test_a_state_of_another_part_is_refused_by_the_run() -> None:
    chain = Chain([Noted(name="a"), Noted(name="b")])
    _, run, _ = train(chain, 3)
    _, fresh = chain.start(nn.Linear(2, 2), None, steps=3)
    with pytest.raises(ContractError, match=r"in part 1 of its chain and the state in part 2: use Chain\.resume"):
        fresh.load_state_dict(run.state_dict())
    fresh.load_state_dict({"done": 1, "runs": [{"step": 1}]})
    assert fresh.state_dict() == {"done": 1, "groups": None, "runs": [{"step": 1}]}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([Noted(), Early()], r"noted \(rewire\) can't come after noted \(sparsify\): a rewire replaces the weights"),
        (
            [Noted(), StructuredPruning(budget={"macs": 0.5})],
            "a cut judges channels that the masks have already emptied",
        ),
        (
            [StructuredPruning(budget={"macs": 0.5}), Early()],
            "a rewire adds weights to layers whose channels were already",
        ),
        (
            [FilterSharing(), Overparam()],
            "overparam can't come after filter_sharing: it works on torch's own layers, and filter_sharing leaves",
        ),
        ([Chain([Noted()])], "a chain holds methods, not chains"),
        ([], "at least 1 item"),
    ],
)
def test_a_chain_that_goes_back_is_refused_with_the_reason(parts: list[Method], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        Chain(parts)


@pytest.mark.parametrize(
    ("shares", "reason"),
    [((1.0,), "2 parts need as many shares, not 1"), ((0.5, 0.6), "add up to 1"), ((-0.5, 1.5), "at least 0")],
)
def test_shares_that_do_not_fit_are_refused(shares: tuple[float, ...], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        Chain([Noted(), Noted()], shares=shares)


def test_only_the_parts_are_positional() -> None:
    with pytest.raises(SettingError, match="positional"):
        Chain([Noted()], (1.0,))  # type: ignore[call-arg]  # the mistake under test


def test_a_chain_is_settled_with_its_last_part(make_net: Callable[[], nn.Module], example: Tensor) -> None:
    half = StructuredPruning(budget=Budget(channels=0.75), round_to=4, begin=0.5)
    model, run = Chain([half, half]).start(make_net(), example, steps=4)
    optimizer, seen = torch.optim.SGD(run.parameter_groups(model, lr=0.0)), [run.settled]
    for _ in range(4):
        model = run.after_step(model, optimizer)
        seen.append(run.settled)
    assert seen == [False, False, False, True, True]


def test_a_chain_tells_what_its_parts_found_the_later_ones_last() -> None:
    net = nn.Linear(1, 1)
    model, run = Chain([Noted(name="a"), Noted(name="b")]).start(net, torch.zeros(1, 1), steps=3)
    for _ in range(3):
        model = run.after_step(model, torch.optim.SGD(model.parameters(), lr=0.1))
    run.finish(model)
    assert run.findings() == {
        "last": Compression(notes=("b",)),
        "a": Compression(steps={"taken": 2}),
        "b": Compression(steps={"taken": 1}),
    }
