"""The laws that every registered method and every allowed chain of two keeps. A method without an entry fails."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from niwaki.errors import ContractError, SettingError
from niwaki.methods import BNScale, Chain, CosPrune, Method, RandomScore, Run, StructuredPruning, methods
from niwaki.settings import Budget, family
from niwaki.surgery import plans_of

Make = Callable[[], nn.Module]
Train = Callable[..., nn.Module]
Size = Callable[..., tuple[int, int]]
Result = Callable[[Method], nn.Module]
STEPS = 8


@dataclass(frozen=True)
class Case:
    """The smallest settings of a method that do something, and those that do nothing."""

    method: Method
    idle: Method


CASES: dict[str, Case] = {
    "structured_pruning": Case(
        StructuredPruning(budget=Budget(macs=0.6), rounds=2, round_to=4),
        StructuredPruning(budget=Budget(macs=1.0)),
    ),
    "chain": Case(
        Chain(
            [
                StructuredPruning(budget=Budget(channels=0.75), round_to=4),
                StructuredPruning(budget=Budget(params=0.7), criterion=RandomScore(seed=3), rounds=2, round_to=2),
            ]
        ),
        Chain([StructuredPruning(budget=Budget(params=1.0))]),
    ),
}


def pairs() -> Iterator[tuple[str, Chain]]:
    """Every ordered pair of methods that a chain allows."""
    single = {name: case.method for name, case in CASES.items() if name != "chain"}
    for first in single.values():
        for second in single.values():
            try:
                yield f"{first.kind}+{second.kind}", Chain([first, second])
            except SettingError:
                continue


FORMS: dict[str, Method] = {
    "cos_every": StructuredPruning(
        budget=Budget(macs=0.6), criterion=CosPrune(), allocation="global", every=2, remove=4, round_to=2, until=0.8
    ),
    "retrain": StructuredPruning(budget=Budget(macs=0.6), criterion=BNScale(), begin=0.25, round_to=4, then="retrain"),
}
"""Other forms of the same methods, which keep the same laws."""

EVERY = [(name, case.method) for name, case in CASES.items()] + list(FORMS.items()) + list(pairs())
each = pytest.mark.parametrize("method", [method for _, method in EVERY], ids=[name for name, _ in EVERY])


def bits(model: nn.Module) -> dict[str, Any]:
    """Everything of a model that must not change, as plain bits."""
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "modes": [module.training for module in model.modules()],
        "grads": [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
        "random": torch.get_rng_state(),
        "plans": len(plans_of(model)),
    }


def same(first: Any, second: Any) -> bool:
    """Whether two nested values agree bit for bit."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


@dataclass
class Job:
    """A method at work in a loop."""

    model: nn.Module
    run: Run
    optimizer: torch.optim.Optimizer


def begin(method: Method, net: nn.Module, example: Tensor) -> Job:
    model, run = method.start(net, example, steps=STEPS)
    return Job(model, run, torch.optim.AdamW(run.parameter_groups(model, lr=1e-2, weight_decay=1e-4)))


def whole(method: Method, net: nn.Module, example: Tensor, train: Train, batches: Any) -> nn.Module:
    job = begin(method, net, example)
    return job.run.finish(train(job.model, job.run, job.optimizer, batches))


@pytest.fixture(scope="module")
def result(make_net: Make, example: Tensor, train: Train, batches: Any) -> Callable[[Method], nn.Module]:
    """Return a function that gives a copy of what a method makes of the small network."""
    made: dict[str, nn.Module] = {}

    def of(method: Method) -> nn.Module:
        key = repr(method)
        if key not in made:
            made[key] = whole(method, make_net(), example, train, batches)
        return deepcopy(made[key])

    return of


def test_every_registered_method_has_an_entry() -> None:
    assert set(CASES) == set(methods.names())


@each
@pytest.mark.parametrize("steps", [-1, 2.5, True])
def test_steps_are_a_count(method: Method, steps: Any, make_net: Make, example: Tensor) -> None:
    with pytest.raises(ContractError, match=f"at least 0; got {steps}"):
        method.start(make_net(), example, steps=steps)


@each
def test_the_callers_model_is_unchanged(
    method: Method, make_net: Make, example: Tensor, train: Train, batches: Any
) -> None:
    net = make_net()
    before = bits(net)
    whole(method, net, example, train, batches)
    assert same(before, bits(net))


@each
def test_outputs_keep_names_and_shapes_and_nothing_grows(
    method: Method, make_net: Make, example: Tensor, result: Result, size_of: Size
) -> None:
    net = make_net()
    small = result(method)
    wanted, found = net(example), small(example)
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in wanted.items()}
    dense, cut = size_of(net, example), size_of(small, example)
    assert cut[0] < dense[0]
    assert cut[1] < dense[1]


@pytest.mark.parametrize("name", CASES)
def test_strength_zero_is_the_identity(name: str, make_net: Make, example: Tensor) -> None:
    net = make_net()
    model, run = CASES[name].idle.start(net, example, steps=0)
    finished = run.finish(model)
    assert same(net.state_dict(), finished.state_dict())
    x = torch.ones(2, 3, 8, 8)
    assert same(net(x), finished(x))


@each
def test_the_result_is_plain_and_exports(method: Method, make_net: Make, result: Result) -> None:
    net, small = make_net(), result(method).eval()
    assert [(name, type(module)) for name, module in small.named_modules()] == [
        (name, type(module)) for name, module in net.named_modules()
    ]
    for module in small.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert all(parameter.is_leaf for parameter in small.parameters())
    exported = torch.export.export(small, (torch.ones(1, 3, 8, 8),), strict=False).module()
    torch.testing.assert_close(exported(torch.ones(1, 3, 8, 8)), small(torch.ones(1, 3, 8, 8)))


@each
def test_settings_survive_a_round_trip(method: Method) -> None:
    plain = method.model_dump(mode="json")
    reader: TypeAdapter[Method] = TypeAdapter(Annotated[Method, *family(methods)])
    assert reader.validate_python(plain) == method
    assert plain["kind"] == method.kind


@each
def test_same_seed_same_bits(
    method: Method, make_net: Make, example: Tensor, train: Train, batches: Any, result: Result
) -> None:
    again = whole(method, make_net(), example, train, batches)
    assert same(result(method).state_dict(), again.state_dict())


@each
@pytest.mark.parametrize("saved_after", [1, 4, 6])
def test_a_killed_run_goes_on_bit_for_bit(
    method: Method, saved_after: int, make_net: Make, example: Tensor, train: Train, batches: Any, result: Result
) -> None:
    job = begin(method, make_net(), example)
    job.model = train(job.model, job.run, job.optimizer, batches[:saved_after])
    state = deepcopy((job.run.state_dict(), job.model.state_dict(), job.optimizer.state_dict()))

    model, run = method.resume(make_net(), example, steps=STEPS, state=state[0])
    model.load_state_dict(state[1])
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1.0))
    optimizer.load_state_dict(state[2])
    found = run.finish(train(model, run, optimizer, batches[saved_after:]))
    assert same(result(method).state_dict(), found.state_dict())
    assert [plan.reached for plan in plans_of(found)] == [plan.reached for plan in plans_of(result(method))]


@pytest.mark.parametrize(("name", "chain"), list(pairs()), ids=[name for name, _ in pairs()])
def test_a_second_method_never_undoes_the_first(
    name: str, chain: Chain, make_net: Make, example: Tensor, train: Train, batches: Any, result: Result
) -> None:
    first = whole(chain.parts[0], make_net(), example, train, batches[:4])
    both = result(chain)
    for (tensor, before), (other, after) in zip(first.named_parameters(), both.named_parameters(), strict=True):
        assert tensor == other
        assert all(small <= large for small, large in zip(after.shape, before.shape, strict=True))
    assert len(plans_of(both)) > len(plans_of(first))
