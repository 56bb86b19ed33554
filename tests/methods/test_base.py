"""The protocol: hooks that do nothing, names of tasks, resuming by default."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import nn

from niwaki.errors import ContractError, SettingError
from niwaki.methods import Method, Run, methods
from niwaki.methods.base import Named, Stage, task_names


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
