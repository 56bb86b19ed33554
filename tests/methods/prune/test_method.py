"""StructuredPruning in somebody's loop: when it cuts, what follows, what it refuses."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.balance import Equal
from niwaki.errors import BudgetError, ContractError, SettingError, SurgeryError
from niwaki.methods import Magnitude, Run, StructuredPruning
from niwaki.methods.prune.selecting import plan_round
from niwaki.methods.prune.subject import read_subject
from niwaki.settings import Budget
from niwaki.surgery import plans_of
from niwaki.tasks import Depth, Segmentation, task_losses

Make = Callable[[], nn.Module]
Train = Callable[..., nn.Module]
Size = Callable[..., tuple[int, int]]


def adam(run: Any, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(run.parameter_groups(model, lr=1e-3))


def test_one_round_cuts_at_the_start(make_net: Make, example: Tensor, size_of: Size) -> None:
    net = make_net()
    model, run = StructuredPruning(budget=Budget(macs=0.5), round_to=2).start(net, example, steps=10)
    assert 0.4 < size_of(model, example)[1] / size_of(net, example)[1] <= 0.5
    assert run.finish(model) is model


def test_rounds_go_evenly_and_exactly_when_they_are_due(
    make_net: Make, example: Tensor, train: Train, batches: Any, size_of: Size
) -> None:
    net = make_net()
    dense = size_of(net, example)[1]
    method = StructuredPruning(budget=Budget(macs=0.6), rounds=2, round_to=1, begin=0.25, until=0.75)
    assert method.moments(8) == [4, 6]
    model, run = method.start(net, example, steps=8)
    optimizer = adam(run, model)
    shares = []
    for batch in batches:
        model = train(model, run, optimizer, [batch])
        shares.append(size_of(model, example)[1] / dense)
    assert shares[:3] == [1.0] * 3
    assert shares[3] == shares[4] != shares[5] == shares[6] == shares[7]
    assert 0.75 < shares[3] <= 0.8
    assert 0.55 < shares[5] <= 0.6
    assert [plan.asked.rpartition(", ")[2] for plan in plans_of(run.finish(model))] == ["round 1 of 2", "round 2 of 2"]


def test_many_rounds_end_where_one_round_does(make_net: Make, example: Tensor, train: Train, batches: Any) -> None:
    """Rounding does not add up: shares are counted from the first widths."""
    net = make_net()
    one, _ = StructuredPruning(budget=Budget(channels=0.5), round_to=4).start(net, example, steps=0)
    model, run = StructuredPruning(budget=Budget(channels=0.5), round_to=4, rounds=4, until=1.0).start(
        net, example, steps=8
    )
    many = run.finish(train(model, run, adam(run, model), batches))
    assert [p.shape for p in many.parameters()] == [p.shape for p in one.parameters()]


def test_the_optimizer_carries_kept_channels_over(make_net: Make, example: Tensor, train: Train, batches: Any) -> None:
    method = StructuredPruning(budget=Budget(channels=0.5), round_to=4, begin=0.5)
    model, run = method.start(make_net(), example, steps=8)
    optimizer = adam(run, model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    before = train(model, run, optimizer, batches[:3])
    momenta = {name: optimizer.state[p]["exp_avg"].clone() for name, p in before.named_parameters()}
    twin = deepcopy(before)
    train(twin, Run(), torch.optim.SGD(twin.parameters(), lr=0.0), batches[3:4])
    small = train(before, run, optimizer, batches[3:4])
    removed = plans_of(small)[0].removed_positions()
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert all(a is b for a, b in zip(held, small.parameters(), strict=True))
    for (name, parameter), dense in zip(small.named_parameters(), twin.parameters(), strict=True):
        assert dense.grad is not None
        expected = 0.9 * momenta[name] + 0.1 * dense.grad
        for dim in range(parameter.ndim):
            kept = [i for i in range(expected.shape[dim]) if i not in removed.get((name, dim), ())]
            expected = expected.index_select(dim, torch.tensor(kept))
        torch.testing.assert_close(optimizer.state[parameter]["exp_avg"], expected)
    scheduler.step()
    train(small, run, optimizer, batches[4:])


def test_rounds_that_training_ends_before_are_made_up(make_net: Make, example: Tensor, size_of: Size) -> None:
    net = make_net()
    model, run = StructuredPruning(budget=Budget(params=0.5), rounds=3, round_to=2).start(net, example, steps=30)
    assert size_of(model, example) == size_of(net, example)
    small = run.finish(model)
    assert 0.4 < size_of(small, example)[0] / size_of(net, example)[0] <= 0.5


def test_statistics_are_left_to_the_loop(make_net: Make, example: Tensor, batches: Any) -> None:
    method = StructuredPruning(budget=Budget(channels=0.5), round_to=4)
    with pytest.raises(SettingError, match="bn_batches: unknown setting"):
        StructuredPruning(budget=Budget(channels=0.5), bn_batches=8)  # type: ignore[call-arg]  # the mistake under test
    small, _ = method.start(make_net(), example, steps=0, data=batches)
    kept = [index for group in plans_of(small)[0].groups for index in group.kept if group.name == "stem.0"]
    assert torch.equal(
        small.get_buffer("stem.1.running_mean"), make_net().get_buffer("stem.1.running_mean")[torch.tensor(kept)]
    )


def test_a_compiled_model_stays_compiled_until_the_end(
    make_net: Make, example: Tensor, train: Train, batches: Any, size_of: Size
) -> None:
    net = make_net()
    model, run = StructuredPruning(budget=Budget(macs=0.6), rounds=2, round_to=4).start(net, example, steps=8)
    compiled: nn.Module = torch.compile(model, backend="eager")  # type: ignore[assignment]  # it wraps a module in a module
    trained = train(compiled, run, adam(run, compiled), batches)
    assert type(trained) is type(compiled)
    small = run.finish(trained)
    assert type(small) is type(net)
    assert size_of(small, example)[1] <= 0.6 * size_of(net, example)[1]


def test_somebody_elses_loop(make_net: Make, example: Tensor, batches: Any) -> None:
    """The loop of the user's contract, line by line."""
    tasks = [Segmentation(5, name="classes"), Depth()]
    model, run = StructuredPruning(criterion=Magnitude(norm=1), budget=Budget(macs=0.5), rounds=2, round_to=2).start(
        make_net(), example, tasks, steps=len(batches)
    )
    balance = Equal()
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-3, weight_decay=1e-4))
    for x, targets in batches:
        losses = task_losses(tasks, model(x), targets)
        run.before_backward(model, losses)
        optimizer.zero_grad()
        (balance(losses) + run.penalty(model)).backward()
        run.after_backward(model)
        optimizer.step()
        model = run.after_step(model, optimizer)
    small = run.finish(model)
    assert len(plans_of(small)) == 2
    assert small(example).keys() == {"classes", "depth"}


def test_out_of_reach_is_said_before_training(make_net: Make, example: Tensor) -> None:
    method = StructuredPruning(budget=Budget(macs=0.001), rounds=3)
    with pytest.raises(BudgetError, match="the smallest reachable is macs="):
        method.start(make_net(), example, steps=300)


def test_a_cut_of_another_size_than_planned_is_refused(make_net: Make, example: Tensor) -> None:
    method = StructuredPruning(budget=Budget(channels=0.5))
    planned = plan_round(read_subject(make_net(), example, method), method)
    small = planned.cut(make_net())
    assert sum(each.numel() for each in small.parameters()) == planned.params
    with pytest.raises(SurgeryError, match=rf"left {planned.params:,} parameters where 7 were planned"):
        planned._replace(params=7).cut(make_net())


def test_a_method_without_a_budget_is_refused() -> None:
    with pytest.raises(SettingError, match="pruning needs one goal: a budget"):
        StructuredPruning()


def test_moments_that_do_not_fit_are_refused(make_net: Make, example: Tensor) -> None:
    with pytest.raises(SettingError, match=r"begin=0\.6 must lie before until=0\.5"):
        StructuredPruning(budget=Budget(macs=0.5), rounds=2, begin=0.6)
    with pytest.raises(ContractError, match="10 rounds between 0 and 0.5 of 12 steps would fall together"):
        StructuredPruning(budget=Budget(macs=0.5), rounds=10).start(make_net(), example, steps=12)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    yield
    torch.compiler.reset()


def test_a_model_that_is_not_the_runs_is_refused(make_net: Make, example: Tensor, train: Train, batches: Any) -> None:
    """The return value of after_step was not taken."""
    model, run = StructuredPruning(budget=Budget(macs=0.6), rounds=2, round_to=4).start(make_net(), example, steps=8)
    optimizer = adam(run, model)
    for _ in range(2):
        run.after_step(model, optimizer)
    with pytest.raises(ContractError, match=r"cut its model 1 times, .* `model = run.after_step\(model, optimizer\)`"):
        run.after_step(model, optimizer)
    with pytest.raises(ContractError, match="does not come from these cuts"):
        run.finish(model)
    assert run.state_dict()["step"] == 2, "a refused step does not count"


def test_a_net_compiled_in_place_trains_compiled(make_net: Make, example: Tensor) -> None:
    net = make_net()
    net.compile(backend="eager")
    begin, _ = StructuredPruning(budget=Budget(macs=0.6), begin=0.5).start(net, example, steps=8)
    small, _ = StructuredPruning(budget=Budget(macs=0.6), round_to=4).start(net, example, steps=8)
    assert all(each._compiled_call_impl is not None for each in (begin, small))
