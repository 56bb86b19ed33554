"""Laws that every balancer keeps."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from niwaki.balance import Balancer, GradientBalancer, balancers, make_balancer
from niwaki.balance.aggregator import Aggregator
from niwaki.errors import ContractError, FileError

Make = Callable[..., Balancer]
Steps = Callable[..., list[Any]]

NAMES = {
    "EW": "equal",
    "UW": "uncertainty",
    "DWA": "dynamic_weight_average",
    "RLW": "random",
    "GLS": "geometric",
    "MinMax": "min_max",
    "STCH": "smooth_tchebycheff",
    "AdapMTL": "relative_change",
    "IMTL_G": "IMTL",
}
"""Names that mean the same class."""

OTHERS = (
    *("GradNorm", "FAMO", "IMTL_L", "PCGrad", "GradVac", "GradDrop", "CAGrad", "UPGrad", "DualProj", "ConFIG", "MGDA"),
    *("Nash_MTL", "Aligned_MTL", "FairGrad", "ExcessMTL", "Krum", "PCD", "Aggregator", "Scalarizer"),
)
KINDS = (*NAMES, *OTHERS)
FIXED = ("EW", "DWA", "RLW", "MinMax", "FAMO", "GradNorm", "AdapMTL", "MGDA", "IMTL_G", "ExcessMTL", "Krum")
"""Their weights sum to the number of tasks."""

every = pytest.mark.parametrize("name", KINDS)


def test_every_name_is_in_the_table_above() -> None:
    for short, long in NAMES.items():
        assert balancers.get(short) is balancers.get(long)
    assert set(balancers.names()) == {*KINDS, *NAMES.values()}


@every
def test_the_kind_is_the_short_name_and_the_options_rebuild_it_through_yaml(name: str, make: Make) -> None:
    described = make(name).describe()
    assert described["kind"] == name
    again = make_balancer(yaml.safe_load(yaml.safe_dump(described)))
    assert again.describe() == described


@every
def test_a_losses_slope_is_its_weight(name: str, make: Make, problem: Any, steps: Steps) -> None:
    """Seen from the losses alone, where nothing is shared, a gradient balancer leaves each as it is."""
    balance = make(name)
    steps(balance, problem, range(1, 6))
    values = {"a": 0.3, "b": 1.7, "c": 2.0, "d": 1.0}
    leaves = {task: torch.tensor(value, requires_grad=True) for task, value in values.items()}
    balance(leaves).backward()
    for task, leaf in leaves.items():
        assert leaf.grad is not None
        assert leaf.grad.item() == pytest.approx(balance.weights[task], rel=1e-6)


@every
def test_heads_and_weights_agree_on_a_network(name: str, make: Make, problem: Any, steps: Steps) -> None:
    """A head gets its own gradient, times its weight where weights act on losses, times one where on gradients."""
    balance = make(name)
    steps(balance, problem, range(4))
    problem.zero_grad()
    balance(problem.losses(8)).backward()
    for task, head in problem.heads.items():
        (own,) = torch.autograd.grad(problem.losses(8)[task], head)
        factor = 1.0 if isinstance(balance, Aggregator) else balance.weights[task]
        assert torch.allclose(head.grad, factor * own, rtol=1e-5)
    assert problem.frozen.grad is None
    assert set(balance.weights) == set("abcd")


@pytest.mark.parametrize("name", FIXED)
def test_weights_sum_to_the_number_of_tasks(name: str, make: Make, problem: Any, steps: Steps) -> None:
    options = {"normalise": "none"} if name == "MinMax" else {}
    balance = make(name, **options)
    steps(balance, problem, range(5))
    balance(problem.losses(7))
    assert sum(balance.weights.values()) == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("name", ["EW", "UW", "DWA", "MinMax", "AdapMTL"])
def test_a_batch_without_some_task_leaves_the_others_weights(name: str, make: Make, problem: Any, steps: Steps) -> None:
    balance = make(name)
    steps(balance, problem, range(6))
    other = copy.deepcopy(balance)
    balance(problem.losses(7, ("b",)))
    assert set(balance.weights) == {"b"}
    other(problem.losses(7))
    assert other.weights["b"] == balance.weights["b"]


@every
def test_one_task_alone_is_trained_on_its_own(name: str, make: Make, problem: Any) -> None:
    balance = make(name)
    balance(problem.losses(7, ("b",))).backward()
    (own,) = torch.autograd.grad(problem.losses(7)["b"], problem.trunk)
    assert torch.allclose(problem.trunk.grad, balance.weights["b"] * own, rtol=1e-5)
    assert balance.weights["b"] > 0


@every
def test_a_batch_without_any_task_gives_a_zero_that_backward_takes(name: str, make: Make) -> None:
    balance = make(name)
    before = json.dumps(_plain(balance.state_dict()))
    value = balance({})
    value.backward()
    assert value.item() == 0
    assert balance.weights == {}
    assert json.dumps(_plain(balance.state_dict())) == before


@every
def test_saved_and_loaded_mid_run_goes_on_with_the_same_bits(name: str, make: Make, problem: Any, steps: Steps) -> None:
    through = make(name)
    steps(through, problem, range(6))
    resumed = make(name)
    steps(resumed, copy.deepcopy(problem), range(90, 93))  # its own past is forgotten
    resumed.load_state_dict(_rewritten(through.state_dict()))
    there = copy.deepcopy(problem)
    torch.manual_seed(1)
    one = steps(through, problem, range(6, 14))
    torch.manual_seed(2)  # no draw is a global one
    other = steps(resumed, there, range(6, 14))
    assert _plain(one) == _plain(other)


@every
def test_the_global_generator_is_left_alone(name: str, make: Make, problem: Any, steps: Steps) -> None:
    before = torch.get_rng_state()
    steps(make(name), problem, range(2))
    assert torch.equal(torch.get_rng_state(), before)


@every
def test_a_state_is_a_copy(name: str, make: Make, problem: Any, steps: Steps) -> None:
    balance = make(name)
    steps(balance, problem, range(3))
    state = balance.state_dict()
    before = json.dumps(_plain(state))
    steps(balance, problem, range(3, 6))
    assert json.dumps(_plain(state)) == before


@every
def test_reset_starts_anew(name: str, make: Make, problem: Any, steps: Steps) -> None:
    balance, again = make(name), copy.deepcopy(problem)
    first = steps(balance, problem, range(5))
    balance.reset()
    assert _plain(steps(balance, again, range(5))) == _plain(first)


@every
def test_losses_of_low_precision_are_taken(name: str, make: Make, problem: Any) -> None:
    balance = make(name)
    found = problem.bfloat16().losses(3)
    balance(found).backward()
    assert problem.trunk.grad.isfinite().all()
    assert problem.trunk.grad.abs().sum() > 0


@every
def test_wrong_losses_name_the_task(name: str, make: Make) -> None:
    balance = make(name)
    number: Any = 3.0
    with pytest.raises(ContractError, match="'depth' is a float; give a tensor"):
        balance({"depth": number})
    with pytest.raises(ContractError, match=r"'depth' has shape \(2,\); reduce"):
        balance({"depth": torch.zeros(2)})


@every
def test_another_kinds_state_is_refused(name: str, make: Make) -> None:
    with pytest.raises(FileError, match="state of the balancer 'Other'"):
        make(name).load_state_dict({"kind": "Other"})


def test_a_loop_is_told_who_wants_the_losses_after_the_step(make: Make) -> None:
    assert [name for name in KINDS if make(name).wants_losses_after_step] == ["FAMO"]
    assert make("Scalarizer", method="FAMO").wants_losses_after_step


def test_only_those_that_look_at_gradients_say_so(make: Make) -> None:
    blind = {"EW", "UW", "DWA", "RLW", "GLS", "MinMax", "STCH", "AdapMTL", "FAMO", "IMTL_L", "Scalarizer"}
    assert {name for name in KINDS if not isinstance(make(name), GradientBalancer)} == blind


def _plain(state: Any) -> Any:
    """Write a state as JSON can hold it."""
    if isinstance(state, Tensor):
        return {"tensor": state.tolist()}
    if isinstance(state, list | tuple):
        return [_plain(each) for each in state]
    return {str(key): _plain(value) for key, value in state.items()} if isinstance(state, dict) else state


def _rewritten(state: Any) -> Any:
    """Take a state through text and back, as a checkpoint does with what is no tensor."""
    if isinstance(state, dict):
        return {key: _rewritten(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_rewritten(each) for each in state]
    return state.clone() if isinstance(state, Tensor) else json.loads(json.dumps(state))
