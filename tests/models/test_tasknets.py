"""One network for each task, as one model."""

import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.contract import Example, answers_all, is_routed
from niwaki.errors import ContractError


class Summed(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"sum": x + y, "features": x}


@pytest.fixture
def nets() -> nw.TaskNets:
    torch.manual_seed(0)
    return nw.TaskNets({"left": nn.Linear(4, 2), "right": nn.Linear(4, 3)})


def test_each_task_is_answered_by_its_own_network(nets: nw.TaskNets) -> None:
    x, y = torch.rand(2, 4), torch.rand(5, 4)
    assert nets.tasks == ("left", "right")
    whole = nets(x)
    assert torch.equal(whole["left"], nets.nets["left"](x))
    assert torch.equal(whole["right"], nets.nets["right"](x))
    own = nets({"right": y, "left": x})
    assert torch.equal(own["left"], whole["left"])
    assert torch.equal(own["right"], nets(y, task="right")["right"])
    assert list(nets({"right": y})) == ["right"]


def test_loops_know_it_for_a_routed_model_that_also_answers_all(nets: nw.TaskNets) -> None:
    assert is_routed(nets)
    assert answers_all(nets)


def test_a_network_may_take_several_inputs_and_name_its_answer() -> None:
    nets = nw.TaskNets({"sum": Summed()})
    assert nets(torch.ones(2), torch.ones(2), task="sum")["sum"].tolist() == [2.0, 2.0]
    assert nets({"sum": (torch.ones(1), torch.ones(1))})["sum"].tolist() == [2.0]
    with pytest.raises(ContractError, match=r"the network of task 'other' answers sum, features; it returns"):
        nw.TaskNets({"other": Summed()})(torch.ones(2), torch.ones(2))


def test_costs_are_those_of_the_networks_alone(nets: nw.TaskNets) -> None:
    routed = nw.measure(nets, [Example(torch.zeros(1, 4), task=task) for task in nets.tasks])
    at_once = nw.measure(nets, torch.zeros(1, 4))
    assert routed.model_copy(update={"peak_activation_bytes": at_once.peak_activation_bytes}) == at_once
    assert (routed.peak_activation_bytes, at_once.peak_activation_bytes) == (4 * (4 + 3), 4 * (4 + 2 + 3))
    assert (routed.whole.params, routed.whole.macs) == (4 * 2 + 2 + 4 * 3 + 3, 4 * 5)
    assert {task: (cost.params, cost.macs) for task, cost in routed.per_task.items()} == {
        "left": (4 * 2 + 2, 4 * 2),
        "right": (4 * 3 + 3, 4 * 3),
    }
    assert routed.trunk.params == 0


def test_wrong_parts_and_tasks_are_named(nets: nw.TaskNets) -> None:
    with pytest.raises(ContractError, match="at least one network"):
        nw.TaskNets({})
    with pytest.raises(
        ContractError, match="the network of task 'a' is a builtin_function_or_method; give an nn.Module"
    ):
        nw.TaskNets({"a": torch.relu})  # type: ignore[dict-item]
    with pytest.raises(ContractError, match="'a.b' can't name"):
        nw.TaskNets({"a.b": nn.Identity()})
    with pytest.raises(ContractError, match="no network for 'lft'; there are: left, right; did you mean 'left'"):
        nets(torch.zeros(1, 4), task="lft")
