"""What Overparam's training is: the equivalences that are proved, precisions, layouts, and its settings."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.methods.expand.networks import batches, losses_of, step, total, two
from torch import Tensor, nn
from torch.nn import functional as F

import niwaki as nw
from niwaki.errors import ContractError, SettingError
from niwaki.methods import Overparam, Run
from niwaki.methods.expand.wiring import expansions

EXAMPLE = torch.zeros(1, 3, 5, 5)
WIDE = torch.float64


def trained(method: Overparam, *, lr: float, scale_lr: float, steps: int = 5) -> dict[str, Tensor]:
    """Train with plain SGD in float64 and return the folded weights."""
    model, run = method.start(two(dtype=WIDE), EXAMPLE.to(WIDE), steps=steps)
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=lr))
    optimizer.param_groups[2]["lr"] = scale_lr
    for batch in batches(steps, WIDE):
        model = step(model, run, optimizer, batch)
    return run.finish(model).state_dict()


def close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> bool:
    return all(torch.allclose(one[name], other[name], atol=tolerance, rtol=0) for name in one)


def test_under_plain_sgd_the_product_is_one_shared_scale() -> None:
    product = trained(Overparam(alternate="joint"), lr=0.05, scale_lr=0.05)
    shared = trained(Overparam(alternate="joint", scales="shared"), lr=0.05, scale_lr=0.05)
    assert close(product, shared, 1e-12)


def test_under_plain_sgd_the_mean_is_one_shared_scale_at_a_rate_of_its_own() -> None:
    """With ``lr T^2`` for the scales the mean moves as one shared scale does, but for terms of second order in lr."""

    def apart(lr: float) -> float:
        rates = {"alternate": "joint", "keep": ["near", "far"]}  # each head has one task, the trunk has two
        mean = trained(Overparam(combine="mean", **rates), lr=lr, scale_lr=4 * lr)
        one = trained(Overparam(scales="shared", **rates), lr=lr, scale_lr=lr)
        return max((mean[name] - one[name]).abs().max().item() for name in mean if name.startswith("trunk"))

    large, small = apart(1e-2), apart(1e-3)
    assert 0 < small < 1e-5
    assert 50 < large / small < 200


def test_with_one_task_it_is_the_form_with_one_scale() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = two()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"near": self.whole(x)["near"]}

    found = []
    for scales in ("task", "shared"):
        for alternate in ("joint", "step"):
            model, run = Overparam(scales=scales, alternate=alternate).start(One(), EXAMPLE, steps=4)
            optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-2, weight_decay=0.1))
            for batch in batches(4):
                model = step(model, run, optimizer, batch)
            found.append((alternate, run.finish(model).state_dict()))
    for alternate in ("joint", "step"):
        one, other = (state for which, state in found if which == alternate)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_adam_tells_scales_of_tasks_from_one() -> None:
    states = []
    for scales in ("task", "shared"):
        model, run = Overparam(scales=scales, alternate="joint").start(two(), EXAMPLE, steps=4)
        optimizer = torch.optim.Adam(run.parameter_groups(model, lr=1e-2))
        for batch in batches(4):
            model = step(model, run, optimizer, batch)
        states.append(run.finish(model).state_dict())
    assert not close(states[0], states[1], 1e-3)


def test_params_and_macs_are_the_plain_networks() -> None:
    net = two()
    model, run = Overparam().start(net, EXAMPLE, steps=2)
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-2))
    for batch in batches(2):
        model = step(model, run, optimizer, batch)
    plain, small = (nw.measure(each, EXAMPLE).whole for each in (net, run.finish(model)))
    assert (plain.params, plain.macs, plain.bytes) == (small.params, small.macs, small.bytes)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mixed_precision_and_layout(layout: torch.memory_format) -> None:
    model, run = Overparam(alternate="joint").start(two(), EXAMPLE, steps=2)
    model = model.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stub lacks it
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-2))
    for x, targets in batches(2):
        with torch.autocast("cpu", torch.bfloat16):
            answers = model(x.to(memory_format=layout))
        assert answers["far"].dtype == torch.bfloat16
        losses = {task: F.mse_loss(answer.float(), targets[task]) for task, answer in answers.items()}
        run.before_backward(model, losses)
        optimizer.zero_grad()
        total(losses).backward()
        run.after_backward(model)
        assert all(each.grad is not None and each.grad.dtype == torch.float32 for each in model.parameters())
        optimizer.step()
        model = run.after_step(model, optimizer)
    small = run.finish(model)
    assert {each.dtype for each in small.parameters()} == {torch.float32}
    assert run.findings()["folding"].largest_difference < 1e-5  # type: ignore[attr-defined]  # it is a Folding


@pytest.mark.slow
@pytest.mark.parametrize("combine", ["product", "anneal"])
def test_a_compiled_forward_trains_the_same(combine: Any) -> None:
    states = []
    for compiled in (False, True):
        model, run = Overparam(combine=combine, alternate="joint").start(two(), EXAMPLE, steps=3)
        optimizer = torch.optim.SGD(run.parameter_groups(model, lr=1e-2))
        for x, targets in batches(3):
            forward = torch.compile(model, backend="aot_eager") if compiled else model
            losses = {task: F.mse_loss(answer, targets[task]) for task, answer in forward(x).items()}
            run.before_backward(model, losses)
            optimizer.zero_grad()
            total(losses).backward()
            run.after_backward(model)
            optimizer.step()
            model = run.after_step(model, optimizer)
        states.append(run.finish(model).state_dict())
    assert close(states[0], states[1], 1e-5)


def test_a_copy_goes_its_own_way() -> None:
    model, run = Overparam().start(two(), EXAMPLE, steps=2)
    averaged = deepcopy(model)
    first = run.finish(averaged)
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=0.1))
    for batch in batches(2):
        model = step(model, run, optimizer, batch)
    assert torch.equal(run.finish(averaged).get_parameter("far.weight"), first.get_parameter("far.weight"))
    assert not torch.equal(run.finish(model).get_parameter("far.weight"), first.get_parameter("far.weight"))


class Routed(nn.Module):
    """Answers the one task it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, 4)
        self.heads = nn.ModuleDict({"near": nn.Linear(4, 2), "far": nn.Linear(4, 1)})

    def forward(self, x: Tensor, task: str) -> Tensor:
        answer: Tensor = self.heads[task](self.trunk(x).tanh())
        return answer


def test_tasks_with_inputs_of_their_own() -> None:
    example = [nw.Example(torch.ones(1, 3), task=task) for task in ("near", "far")]
    tasks = [nw.Regression(name="near"), nw.Regression(name="far")]
    model, run = Overparam(alternate="joint").start(Routed(), example, tasks, steps=2)
    owners = {name: each.owners for name, _, each in expansions(model)}
    assert owners == {"trunk": ("near", "far"), "heads.near": ("near",), "heads.far": ("far",)}
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-2))
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        inputs = {task.name: torch.randn(4, 3, generator=generator) for task in tasks}
        losses = {task: model(x, task=task).square().mean() for task, x in inputs.items()}
        run.before_backward(model, losses)
        optimizer.zero_grad()
        total(losses).backward()
        run.after_backward(model)
        optimizer.step()
        model = run.after_step(model, optimizer)
    small = run.finish(model)
    assert type(small.get_submodule("trunk")) is nn.Linear
    with pytest.raises(ContractError, match="this model answers one task in a call"):
        Overparam(combine="per_task").start(Routed(), example, tasks, steps=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 1.5}, "rank as a share lies in"),
        ({"combine": "anneal", "scales": "shared"}, 'it needs scales="task"'),
        ({"epoch_steps": 3}, 'epoch_steps is for alternate="epoch"'),
        ({"scale_lr": 2.0}, "less than or equal to 1"),
        ({"budget": {"macs": 0.5}}, "add keep_factored=True"),
        ({"keep_factored": True}, "exactly one of rank and budget"),
        ({"keep_factored": True, "rank": 2, "budget": {"macs": 0.5}}, "exactly one of rank and budget"),
        ({"keep_factored": True, "budget": {"channels": 0.5}}, "is in params or macs"),
        ({"keep_factored": True, "rank": 2, "combine": "per_task"}, "keeps no factors"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Overparam(**settings)


def test_an_epoch_has_a_length() -> None:
    method = Overparam(alternate="epoch")
    with pytest.raises(ContractError, match="say epoch_steps="):
        method.start(two(), EXAMPLE, steps=4)
    _, run = method.start(two(), EXAMPLE, steps=4, data=batches(2))
    assert run.phases.period == 2  # type: ignore[attr-defined]  # it is a ScaledRun


@pytest.mark.parametrize(("rank", "expected"), [(4, 4), (0.5, 9), (1000, 18), (0.01, 1)])
def test_ranks(rank: float, expected: int) -> None:
    model, _ = Overparam(rank=rank).start(two(), EXAMPLE, steps=1)
    assert {name: each.rank for name, _, each in expansions(model)}["trunk.3"] == expected


def test_without_steps_nothing_happens() -> None:
    net = two()
    model, run = Overparam().start(net, EXAMPLE, steps=0)
    assert isinstance(run, Run)
    assert not list(expansions(model))
    assert run.findings() == {}
    small = run.finish(model)
    assert all(map(torch.equal, net.parameters(), small.parameters()))
    assert losses_of(model, batches(1)[0])
