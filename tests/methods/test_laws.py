"""The laws that every registered method and every allowed chain of two keeps. A method without an entry fails."""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from niwaki.errors import ContractError, SettingError
from niwaki.methods import (
    SNIP,
    AdapMTL,
    BNScale,
    Chain,
    CosPrune,
    DiSparse,
    DOConv,
    DynamicSparse,
    ExpandNet,
    FilterSharing,
    GraSP,
    LotteryTicket,
    MagnitudePruning,
    Method,
    Overparam,
    RandomScore,
    RepVGG,
    ReweightedL1,
    Run,
    StructuredPruning,
    methods,
)
from niwaki.models import TaskNets
from niwaki.settings import Budget, family
from niwaki.surgery import materialise, plans_of
from niwaki.tasks import Depth, Segmentation

Make = Callable[[], nn.Module]
Build = Callable[[Method], nn.Module]
Train = Callable[..., nn.Module]
Size = Callable[..., tuple[int, int]]
Result = Callable[[Method], nn.Module]
STEPS = 8
TASKS = [Segmentation(5, name="classes"), Depth(name="depth")]


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
    "dynamic_sparse": Case(DynamicSparse(density=0.3, every=2), DynamicSparse(density=1.0)),
    "reweighted_l1": Case(ReweightedL1(density=0.3, strength=1e-4), ReweightedL1(density=1.0)),
    "magnitude_pruning": Case(
        MagnitudePruning(density=0.3, rounds=2, allocation="global"), MagnitudePruning(density=1.0)
    ),
    "lottery_ticket": Case(LotteryTicket(density=0.3, share=0.5, rewind=0.5), LotteryTicket(density=1.0)),
    "snip": Case(SNIP(density=0.3), SNIP(density=1.0)),
    "grasp": Case(GraSP(density=0.3, batches=2, at=0.5), GraSP(density=1.0)),
    "disparse": Case(DiSparse(density=0.3, batches=2), DiSparse(density=1.0)),
    "adapmtl": Case(AdapMTL(density=0.3), AdapMTL(density=1.0)),
    "filter_sharing": Case(
        FilterSharing(rate=0.5, selector="farthest"), FilterSharing(rate=1.0, selector="importance")
    ),
    "overparam": Case(Overparam(), Overparam()),
    "rep_vgg": Case(RepVGG(), RepVGG()),
    "do_conv": Case(DOConv(), DOConv()),
    "expand_net": Case(ExpandNet(seed=3), ExpandNet()),
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


LEADING = {"structured_pruning", "dynamic_sparse", "filter_sharing", "overparam"}
"""One method of each family: their pairs are tried in every run, all other pairs in the slow one."""

ALSO = {"structured_pruning+reweighted_l1"}
"""Other pairs that are tried in every run."""


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
    "set": DynamicSparse(rate=4, preset="set", every=2, seed=5),
    "rigl": DynamicSparse(
        trunk=0.2, heads={"classes": 0.5}, density=0.6, preset="rigl", every=1, keep_predictions=False
    ),
    "mest_em": DynamicSparse(density=0.25, preset="mest_em"),
    "mest_ems": DynamicSparse(density=0.25, preset="mest_ems", allocation="lamp"),
    "disparse_pretrained": DiSparse(density=0.3, mode="pretrained", score="taylor", at=0.25),
    "disparse_dynamic": DiSparse(density=0.3, mode="dynamic", every=2),
    "gradual": MagnitudePruning(rate=5, rounds=4, begin=0.25, until=1.0, curve="geometric", allocation="lamp"),
    "overparam_joint": Overparam(combine="mean", alternate="joint", scope="trunk", rebalance=3, expanded_lr=0.5),
    "overparam_anneal": Overparam(combine="anneal", until=0.5),
    "overparam_low_rank": Overparam(rank=0.5, alternate="epoch", epoch_steps=2, scales="normalised"),
    "sharing_by_layer": FilterSharing(
        rate=0.4, schedule="by_layer", gradient="mean", scale=False, centroids=True, selector="kmedoids"
    ),
    "sharing_networks": FilterSharing(
        rate="adaptive",
        limit=0.5,
        schedule="by_layer",
        selector={"kind": "many_objective", "generations": 3, "choice": "knee"},
    ),
    "retrain": StructuredPruning(budget=Budget(macs=0.6), criterion=BNScale(), begin=0.25, round_to=4, then="retrain"),
}
"""Other forms of the same methods, which keep the same laws."""


def two_networks() -> nn.Module:
    """A network for each task, from one start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU()]
        nets = {
            task: nn.Sequential(*deepcopy(body), nn.ConvTranspose2d(16, width, 3))
            for task, width in (("classes", 5), ("depth", 1))
        }
        for parameter in nets["depth"].parameters():
            parameter.data += 0.01 * torch.randn_like(parameter)
        return TaskNets(nets)


OWN: dict[str, Make] = {repr(FORMS["sharing_networks"]): two_networks}
"""Methods that are tried on a model of their own."""


def named(methods: Iterable[tuple[str, Method]]) -> list[Any]:
    """Parameters of a test; a pair that no two families lead is slow."""
    found = []
    for name, method in methods:
        parts = {part.kind for part in method.parts} if isinstance(method, Chain) else set()
        quick = name in {"chain", *ALSO} or not parts or (len(parts) == 2 and parts <= LEADING)
        found.append(pytest.param(method, id=name, marks=() if quick else pytest.mark.slow))
    return found


EVERY = [*((name, case.method) for name, case in CASES.items()), *FORMS.items(), *pairs()]
each = pytest.mark.parametrize("method", named(EVERY))


def stages(method: Method) -> set[str]:
    """The stages that a method or the parts of a chain stand at."""
    return {part.stage for part in (method.parts if isinstance(method, Chain) else [method])}


def nonzeros(model: nn.Module) -> int:
    """How many values of a model's parameters are not zero."""
    return sum(int(parameter.count_nonzero()) for parameter in model.parameters())


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


def begin(method: Method, net: nn.Module, example: Tensor, data: Any, steps: int = STEPS) -> Job:
    model, run = method.start(net, example, TASKS, steps=steps, data=data)
    return Job(model, run, torch.optim.AdamW(run.parameter_groups(model, lr=1e-2, weight_decay=1e-4)))


def whole(method: Method, net: nn.Module, example: Tensor, train: Train, batches: Any) -> nn.Module:
    job = begin(method, net, example, batches, steps=len(batches))
    return job.run.finish(train(job.model, job.run, job.optimizer, batches))


@pytest.fixture(scope="module")
def build(make_net: Make) -> Build:
    """Return a function that builds the model that a method is tried on."""
    return lambda method: OWN.get(repr(method), make_net)()


@pytest.fixture(scope="module")
def result(build: Build, example: Tensor, train: Train, batches: Any) -> Callable[[Method], nn.Module]:
    """Return a function that gives a copy of what a method makes of the small network."""
    made: dict[str, nn.Module] = {}

    def of(method: Method) -> nn.Module:
        key = repr(method)
        if key not in made:
            made[key] = whole(method, build(method), example, train, batches)
        return deepcopy(made[key])

    return of


def test_every_registered_method_has_an_entry() -> None:
    assert set(CASES) == set(methods.names())


@each
@pytest.mark.parametrize("steps", [-1, 2.5, True])
def test_steps_are_a_count(method: Method, steps: Any, build: Build, example: Tensor) -> None:
    with pytest.raises(ContractError, match=f"at least 0; got {steps}"):
        method.start(build(method), example, steps=steps)


@each
def test_the_callers_model_is_unchanged(
    method: Method, build: Build, example: Tensor, train: Train, batches: Any
) -> None:
    net = build(method)
    before = bits(net)
    whole(method, net, example, train, batches)
    assert same(before, bits(net))


@each
def test_outputs_keep_names_and_shapes_and_nothing_grows(
    method: Method, build: Build, example: Tensor, result: Result, size_of: Size
) -> None:
    net = build(method)
    small = result(method)
    wanted, found = net(example), small(example)
    assert {name: value.shape for name, value in found.items()} == {name: value.shape for name, value in wanted.items()}
    dense, cut = size_of(net, example), size_of(small, example)
    assert cut[0] <= dense[0]
    assert cut[1] <= dense[1]
    if "cut" in stages(method):
        assert cut[0] < dense[0]
        assert cut[1] < dense[1]
    if "sparsify" in stages(method):
        assert nonzeros(small) < nonzeros(net)


@pytest.mark.parametrize("name", CASES)
def test_strength_zero_is_the_identity(name: str, build: Build, example: Tensor, batches: Any) -> None:
    net = build(CASES[name].idle)
    model, run = CASES[name].idle.start(net, example, TASKS, steps=0, data=batches)
    finished = materialise(run.finish(model))
    assert same(net.state_dict(), finished.state_dict())
    x = torch.ones(2, 3, 8, 8)
    assert same(net(x), finished(x))


@each
def test_the_result_is_plain_and_exports(method: Method, build: Build, result: Result) -> None:
    net, small = build(method), materialise(result(method)).eval()
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
    method: Method, build: Build, example: Tensor, train: Train, batches: Any, result: Result
) -> None:
    again = whole(method, build(method), example, train, batches)
    assert same(result(method).state_dict(), again.state_dict())


@each
@pytest.mark.parametrize("saved_after", [1, 4, 6])
def test_a_killed_run_goes_on_bit_for_bit(
    method: Method, saved_after: int, build: Build, example: Tensor, train: Train, batches: Any, result: Result
) -> None:
    job = begin(method, build(method), example, batches)
    job.model = train(job.model, job.run, job.optimizer, batches[:saved_after])
    state = deepcopy((job.run.state_dict(), job.model.state_dict(), job.optimizer.state_dict()))

    model, run = method.resume(build(method), example, TASKS, steps=STEPS, state=state[0], data=batches)
    model.load_state_dict(state[1])
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1.0))
    optimizer.load_state_dict(state[2])
    found = run.finish(train(model, run, optimizer, batches[saved_after:]))
    assert same(result(method).state_dict(), found.state_dict())
    assert [plan.reached for plan in plans_of(found)] == [plan.reached for plan in plans_of(result(method))]


@pytest.mark.parametrize("chain", named(pairs()))
def test_a_second_method_never_undoes_the_first(
    chain: Chain, build: Build, example: Tensor, train: Train, batches: Any, result: Result
) -> None:
    first = materialise(whole(chain.parts[0], build(chain), example, train, batches[:4]))
    both = materialise(result(chain))
    for (tensor, before), (other, after) in zip(first.named_parameters(), both.named_parameters(), strict=True):
        assert tensor == other
        assert all(small <= large for small, large in zip(after.shape, before.shape, strict=True))
    if "cut" in stages(chain.parts[1]):
        assert len(plans_of(both)) > len(plans_of(first))
    if "sparsify" in stages(chain.parts[1]):
        assert nonzeros(both) <= nonzeros(first)
