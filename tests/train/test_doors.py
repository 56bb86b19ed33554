"""The doors of the room: wrong things are told before any work."""

from typing import Any

import pytest
from torch import nn

from niwaki.balance import Uncertainty
from niwaki.errors import ContractError, DataError, SettingError
from niwaki.methods.prune import StructuredPruning
from niwaki.settings import Budget
from niwaki.tasks import Depth, Task
from niwaki.train import Training, compress, evaluate, fit

HALF = StructuredPruning(budget=Budget(channels=0.5), round_to=2, floor=2)
PLAIN = Training(epochs=1, batch_size=4, precision="32-true")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": StructuredPruning}, r"`method` is the class StructuredPruning.*; write StructuredPruning\(…\)"),
        ({"method": "structured_pruning"}, r"`method` is 'structured_pruning'.*methods\.get\('structured_pruning'\)"),
        ({"method": 3}, r"`method` is of type int.*expected a Method"),
        ({"balance": "UW"}, r"`balance` is 'UW'.*balancers\.get\('UW'\)"),
        ({"balance": Uncertainty}, r"`balance` is the class Uncertainty.*; write Uncertainty\(…\)"),
        ({"tasks": Depth()}, r"`tasks` is the task 'depth'.*; write \[…\]"),
        ({"tasks": ["depth"]}, r"`tasks` holds 'depth'.*expected tasks.*; write Depth"),
        ({"tasks": "depth"}, r"`tasks` is 'depth'.*expected a list of tasks"),
        ({"tasks": [Depth]}, r"`tasks` holds the class Depth.*; write Depth\(…\)"),
        ({"tasks": 3}, r"`tasks` is of type int.*expected a list of tasks"),
        ({"tasks": []}, r"`tasks` is empty.*expected a list of tasks"),
        ({"model": lambda x: x}, r"instance of torch\.nn\.Module; got function"),
        ({"model": nn.Conv2d}, r"got the class: give Conv2d\("),
        ({"teacher": "dense"}, r"instance of torch\.nn\.Module; got str"),
        ({"tasks": {"depth": Depth()}}, r"`tasks` is of type dict.*expected a list of tasks"),
        ({"training": {"epochs": 1}}, r"`training` is of type dict.*; write Training\("),
    ],
)
@pytest.mark.parametrize("door", [fit, compress])
def test_what_is_no_such_thing_is_told(
    door: Any, change: dict[str, Any], message: str, net: nn.Module, tasks: list[Task], squares: Any
) -> None:
    given: dict[str, Any] = {"model": net, "tasks": tasks, "method": HALF, "training": PLAIN, **change}
    with pytest.raises(ContractError, match=message):
        door(**given, train_data=squares, val_data=squares)


def test_a_compression_needs_a_method(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    with pytest.raises(ContractError, match="`method` is of type NoneType; expected a Method"):
        compress(net, tasks, squares, squares, training=PLAIN, method=None)  # type: ignore[arg-type]  # as somebody may


@pytest.mark.parametrize(
    ("model", "tasks", "message"),
    [
        (lambda x: x, [Depth()], "instance of torch.nn.Module; got function"),
        (nn.Identity(), Depth(), "`tasks` is the task 'depth'"),
        (nn.Identity(), ["depth"], "`tasks` holds 'depth'"),
    ],
)
def test_evaluation_tells_it_too(model: Any, tasks: Any, message: str, squares: Any) -> None:
    with pytest.raises(ContractError, match=message):
        evaluate(model, tasks, squares)


def test_a_split_without_a_batch_is_told(net: nn.Module, tasks: list[Task]) -> None:
    net.train()
    with pytest.raises(DataError, match="nothing to evaluate on: the data holds no batch"):
        evaluate(net, tasks, [])
    assert net.training


def test_tasks_as_plain_data_pass(net: nn.Module, squares: Any) -> None:
    plain: Any = [{"kind": "segmentation", "classes": 2}, {"kind": "depth"}]
    assert set(evaluate(net, plain, squares)) == {"segmentation", "depth"}


@pytest.mark.parametrize("door", [fit, compress])
def test_a_model_that_is_frozen_whole_is_told(door: Any, net: nn.Module, tasks: list[Task], squares: Any) -> None:
    net.requires_grad_(requires_grad=False)
    with pytest.raises(ContractError, match=r"no parameter of the model requires a gradient.*requires_grad_\(True\)"):
        door(net, tasks, squares, squares, training=PLAIN, method=HALF)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distill": {"dpth": 1.0}}, r"distill names 'dpth'.* tasks: segmentation, depth; did you mean 'depth'"),
        ({"select": "depth.speed"}, r"select='depth\.speed' is no rule"),
    ],
)
@pytest.mark.parametrize("door", [fit, compress])
def test_names_in_the_settings_are_looked_up_before_any_work(
    door: Any, change: dict[str, Any], message: str, net: nn.Module, tasks: list[Task]
) -> None:
    class Untouched:
        def __iter__(self) -> Any:
            raise AssertionError("the data was read")

    data = Untouched()
    with pytest.raises(SettingError, match=message):
        door(net, tasks, data, data, training=PLAIN.model_copy(update=change), method=HALF)
