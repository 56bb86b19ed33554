"""The protocol: hooks that do nothing, names of tasks, resuming by default."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import nn

from niwaki.contract import Named, task_names
from niwaki.errors import ContractError, SettingError
from niwaki.methods import Method, Run, methods
from niwaki.methods.base import Stage, carry_over


class Idle(Method):
    """Does nothing, but counts its starts."""

    stage: ClassVar[Stage] = "sparsify"
    kind: Literal["idle"] = "idle"

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        return deepcopy(model), Run()


def test_a_run_that_does_nothing_leaves_the_loop_alone() -> None:
    model = nn.Linear(3, 2)
    run = Run()
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=0.1, weight_decay=0.01))
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.1, 0.01, 2)
    run.before_backward(model, {"depth": torch.ones(())})
    run.after_backward(model)
    assert run.penalty(model) == 0
    assert run.after_step(model, optimizer) is model
    assert run.finish(model) is model
    run.load_state_dict(run.state_dict())


def test_resuming_starts_and_loads() -> None:
    model = nn.Linear(3, 2)
    again, run = Idle().resume(model, torch.zeros(1, 3), steps=1, state={})
    assert again is not model
    assert torch.equal(again.weight, model.weight)  # type: ignore[arg-type]  # nn.Module's attributes
    assert run.state_dict() == {}


def test_a_method_is_abstract_and_takes_no_unknown_setting() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Method(kind="x")  # type: ignore[abstract]  # the mistake under test
    with pytest.raises(SettingError, match="speed: unknown setting"):
        Idle(speed=3)  # type: ignore[call-arg]  # the mistake under test


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match="a name of its own; got depth, depth"):
        task_names(["depth", "depth"])


def test_every_registered_method_has_a_stage_and_its_own_kind() -> None:
    for name, cls in methods.items():
        assert cls.stage in {"rewire", "cut", "sparsify"}
        assert cls.model_fields["kind"].default == name


class Branched(nn.Module):
    """Two layers, of which the first has a branch while it trains."""

    def __init__(self, *, branch: bool) -> None:
        super().__init__()
        self.first = nn.ModuleDict({"main": nn.Linear(2, 2, bias=False)})
        if branch:
            self.first["extra"] = nn.Linear(2, 2, bias=False)
        self.last = nn.Linear(2, 1, bias=False)


@pytest.mark.parametrize("folding", [True, False])
def test_the_optimizer_is_carried_over_to_other_parameters(folding: bool) -> None:
    before, after = Branched(branch=folding), Branched(branch=not folding)
    after.last = before.last
    groups: list[dict[str, Any]] = [
        {"params": [before.last.weight], "lr": 0.5},
        {"params": list(before.first.parameters()), "lr": 0.1},
    ]
    balance = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([*groups, {"params": [balance]}], lr=0.2, momentum=0.9)
    for parameter in (*before.parameters(), balance):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    momentum = optimizer.state[before.last.weight]["momentum_buffer"]
    carry_over(optimizer, before, after)
    held = [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]
    added = id(after.get_parameter("first.extra.weight")) if not folding else None
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1, 0.2]
    assert held[1] == [id(after.get_parameter("first.main.weight")), *([added] if added else [])]
    assert held[0] == [id(after.last.weight)]
    assert held[2] == [id(balance)]
    assert optimizer.state[after.last.weight]["momentum_buffer"] is momentum
    assert torch.equal(optimizer.state[after.get_parameter("first.main.weight")]["momentum_buffer"], torch.ones(2, 2))
    assert len(optimizer.state) == 3
