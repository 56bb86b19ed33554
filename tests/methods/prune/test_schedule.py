"""Cuts every so many steps, judged by the training batches between them."""

import gc
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.errors import BudgetError, ContractError, DataError, SettingError
from niwaki.methods import BNScale, CosPrune, Run, StructuredPruning, Taylor
from niwaki.methods.calibration import open_calibration
from niwaki.records import GroupPlan
from niwaki.settings import Budget
from niwaki.surgery import plans_of
from niwaki.tasks import Depth, Task

Step = Callable[..., nn.Module]


def paper(**changes: Any) -> StructuredPruning:
    """The paper's loop, small: every 2 steps the 3 lowest channels anywhere go, 3 stay in every layer."""
    values: dict[str, Any] = {
        "budget": Budget(macs=0.4),
        "criterion": CosPrune(),
        "every": 2,
        "remove": 3,
        "allocation": "global",
        "floor": 3,
        "round_to": 1,
        "until": 1.0,
    }
    return StructuredPruning(**{**values, **changes})


def widths(model: nn.Module) -> list[int]:
    return [len(each) for name, each in model.named_parameters() if name.endswith("weight") and each.ndim == 4]


def adam(run: Run, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(run.parameter_groups(model, lr=1e-3))


def test_a_number_goes_every_so_many_steps_until_the_budget_is_met(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    method = paper()
    assert method.moments(20) == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    model, run = method.start(tiny, example, tasks, steps=20)
    optimizer, sizes = adam(run, model), [sum(widths(model))]
    for number in range(20):
        model = step(model, run, optimizer, batches[number % 8], tasks)
        sizes.append(sum(widths(model)))
    met = next(i for i in range(21) if sizes[i] == sizes[-1])
    assert [a - b for a, b in pairwise(sizes)][: met - 2] == [0, 3] * ((met - 2) // 2)
    assert run.settled
    assert met < 20
    small = run.finish(model)
    assert min(width for width in widths(small) if width not in {1, 5}) >= 3
    assert plans_of(small)[-1].reached["macs"] <= 0.4
    assert plans_of(small)[0].asked.endswith("round 1, 3 channels")


@pytest.mark.parametrize("scored_on", ["training", "calibration"])
def test_where_widths_are_rounded_a_cut_waits_for_the_schedule(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step, scored_on: Any
) -> None:
    method = paper(every=1, remove=1, round_to=4, floor=4, budget=Budget(channels=0.5), scored_on=scored_on)
    model, run = method.start(tiny, example, tasks, steps=24, data=batches)
    optimizer, dense = adam(run, model), sum(widths(tiny))
    found = []
    for number in range(5):
        model = step(model, run, optimizer, batches[number % 8], tasks)
        found.append(dense - sum(widths(model)))
    assert not run.settled
    assert all(number <= gone < number + 4 for number, gone in enumerate(found, 1)), "at most a rounding step ahead"
    assert len(plans_of(model)) == len(set(found)) == 2


def test_a_share_is_of_the_dense_models_channels(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    model, run = paper(remove=0.25).start(tiny, example, tasks, steps=20)
    optimizer = adam(run, model)
    for batch in batches[:2]:
        model = step(model, run, optimizer, batch, tasks)
    assert sum(widths(tiny)) - sum(widths(model)) == 7  # a quarter of 28
    assert plans_of(model)[0].asked.endswith("round 1, 25% of the channels")


def test_what_is_missing_at_the_end_goes_at_once(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    model, run = paper(every=3, remove=1, until=0.5).start(tiny, example, tasks, steps=8)
    optimizer = adam(run, model)
    for batch in batches[:4]:
        model = step(model, run, optimizer, batch, tasks)
    assert run.settled
    assert [plan.reached["macs"] > 0.4 for plan in plans_of(model)] == [True, False]


def test_an_unreachable_budget_is_refused_at_the_start(tiny: nn.Module, example: Tensor) -> None:
    with pytest.raises(BudgetError, match="the smallest reachable is macs="):
        paper(budget=Budget(macs=0.01)).start(tiny, example, steps=20)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"every": 5}, "every and remove are given together"),
        ({"remove": 5}, "every and remove are given together"),
        ({"every": 5, "remove": 1.5}, "remove as a share lies in"),
        ({"every": 5, "remove": 3, "rounds": 2}, "needs rounds=1"),
        ({"every": 0, "remove": 3}, "every"),
        ({"build": nn.Identity}, 'build is for then="retrain"'),
        ({"budget": None, "limits": {"*": 0.1}, "rounds": 2}, "limits are kept in one cut"),
        ({"budget": None}, "pruning needs one goal"),
        ({"limits": {"*": 0.1}}, "pruning needs one goal"),
        ({"widths": {"encoder": 0}}, "widths"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        StructuredPruning(**{"budget": Budget(macs=0.5), **values})


def test_hooks_that_were_left_out_are_named(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    model, run = paper().start(tiny, example, tasks, steps=20)
    run.after_step(model, adam(run, model))
    with pytest.raises(ContractError, match=r"seen no training batch .* call run.before_backward\(model, losses\)"):
        run.after_step(model, adam(run, model))
    model, run = paper().start(tiny, example, tasks, steps=20, data=batches)
    run.after_step(model, adam(run, model))
    with pytest.warns(UserWarning, match="no training batch since the last cut: .* it is scored on `data`") as told:
        small = run.after_step(model, adam(run, model))
    assert [each.filename for each in told] == [__file__], "it points at the loop that left the hook out"
    assert small is not model
    losses = {"depth": model(batches[0][0])["depth"].sum()}
    with pytest.raises(ContractError, match="does not come from these cuts"):
        run.before_backward(model, losses)
    losses = {"depth": small(batches[0][0])["depth"].sum()}
    losses["depth"].backward()
    with pytest.raises(ContractError, match=r"the graph of the loss of 'depth' is gone: .* before backward\(\)"):
        run.before_backward(small, losses)


def test_a_run_that_ends_right_after_a_cut_blames_no_hook(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step, recwarn: pytest.WarningsRecorder
) -> None:
    """What is missing goes at once, scored on data, since no training batch goes before it."""
    method = StructuredPruning(budget=Budget(macs=0.5), criterion=CosPrune(), rounds=4, round_to=1, until=1.0)
    model, run = method.start(tiny, example, tasks, steps=8, data=batches)
    optimizer = adam(run, model)
    for batch in batches[:4]:
        model = step(model, run, optimizer, batch, tasks)
    small = run.finish(model)
    assert plans_of(small)[-1].reached["macs"] <= 0.5
    assert not [each for each in recwarn if issubclass(each.category, UserWarning)]


def test_a_penalty_is_of_the_runs_own_model(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    model, run = paper(criterion=BNScale(strength=1e-3)).start(tiny, example, tasks, steps=20)
    optimizer = adam(run, model)
    for batch in batches[:2]:
        small = step(model, run, optimizer, batch, tasks)
    with pytest.raises(ContractError, match="does not come from these cuts"):
        run.penalty(model)
    assert run.penalty(small).item() > 0


@pytest.mark.parametrize("saved_after", [1, 3, 4])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("rhythm", [{}, {"every": 1, "remove": 1, "round_to": 4, "floor": 4}])
def test_a_killed_run_goes_on_bit_for_bit(
    tiny: nn.Module,
    example: Tensor,
    batches: Any,
    tasks: list[Task],
    step: Step,
    *,
    saved_after: int,
    frozen: bool,
    rhythm: Any,
) -> None:
    """What was gathered since the last cut is part of the state; a frozen trunk is judged and stays as it is."""
    tiny.get_submodule("first").requires_grad_(not frozen)
    before = deepcopy(tiny)
    method = paper(budget=Budget(macs=0.6), **rhythm)
    model, run = method.start(tiny, example, tasks, steps=8)
    optimizer, saved = adam(run, model), None
    for number, batch in enumerate(batches):
        model = step(model, run, optimizer, batch, tasks)
        if number + 1 == saved_after:
            saved = deepcopy((run.state_dict(), model.state_dict(), optimizer.state_dict()))
    assert saved is not None
    other, again = method.resume(tiny, example, tasks, steps=8, state=saved[0])
    other.load_state_dict(saved[1])
    optimizer = adam(again, other)
    optimizer.load_state_dict(saved[2])
    for batch in batches[saved_after:]:
        other = step(other, again, optimizer, batch, tasks)
    first, second = run.finish(model), again.finish(other)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert [each.requires_grad for each in first.parameters()] == [each.requires_grad for each in before.parameters()]
    if frozen:
        kept = torch.tensor(next(g for g in plans_of(first)[0].groups if g.name == "first.0").kept)
        for plan in plans_of(first)[1:]:
            kept = kept[torch.tensor(next(g for g in plan.groups if g.name == "first.0").kept)]
        assert torch.equal(first.get_parameter("first.0.weight"), before.get_parameter("first.0.weight")[kept])


def test_gradients_and_the_training_are_not_disturbed(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    """Up to the first cut a run that watches trains exactly as one that does not."""
    results = []
    for criterion in (CosPrune(), Taylor(), BNScale(strength=0)):
        model, run = paper(criterion=criterion, every=4).start(tiny, example, tasks, steps=8)
        optimizer = adam(run, model)
        for batch in batches[:3]:
            model = step(model, run, optimizer, batch, tasks)
        results.append([each.detach().clone() for each in model.parameters()])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_one_shot_is_scored_on_the_first_batches(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task]
) -> None:
    method = StructuredPruning(budget=Budget(macs=0.5), criterion=CosPrune(), round_to=1, calibration_batches=3)
    seen = []

    def stream() -> Any:
        for batch in batches:
            seen.append(batch)
            yield batch

    state = torch.get_rng_state()
    model, run = method.start(tiny, example, tasks, steps=8, data=stream())
    assert len(seen) == 3
    assert run.settled
    assert torch.equal(state, torch.get_rng_state())
    again, _ = method.start(tiny, example, tasks, steps=8, data=batches)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_calibration_before_every_cut(
    tiny: nn.Module, example: Tensor, batches: Any, tasks: list[Task], step: Step
) -> None:
    model, run = paper(scored_on="calibration").start(tiny, example, tasks, steps=8, data=batches)
    optimizer = adam(run, model)
    for batch in batches[:4]:
        model = step(model, run, optimizer, batch, tasks)
    assert len(plans_of(model)) == 2
    assert run.state_dict()["evidence"]["taylor"]["batches"] == 0


@pytest.mark.parametrize(
    ("tasks", "data", "error", "message"),
    [
        ([Depth()], None, ContractError, "give `data`, batches of"),
        (None, [1], ContractError, "give `tasks` as niwaki tasks, such as \\[nw.Depth\\(\\)\\]; got none"),
        (["depth"], [1], ContractError, "got 'depth'"),
        ([Depth()], [], DataError, "holds no batch"),
    ],
)
def test_what_calibration_needs(tasks: Any, data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_calibration(tasks, data, 2)


def test_a_criterion_of_gradients_without_them_says_what_to_give(tiny: nn.Module, example: Tensor) -> None:
    method = StructuredPruning(budget=Budget(macs=0.5), criterion=CosPrune(), round_to=1)
    with pytest.raises(ContractError, match="give `data`, batches of"):
        method.start(tiny, example, steps=4)


def live_tensors() -> tuple[int, int, int]:
    """Count the tensors that live, their bytes, and the plans' groups."""
    gc.collect()
    alive = gc.get_objects()
    found = [each for each in alive if type(each) in {Tensor, nn.Parameter}]
    groups = sum(type(each) is GroupPlan for each in alive)
    return len(found), sum(each.numel() * each.element_size() for each in found), groups


def test_fifty_cuts_leave_nothing_behind(example: Tensor, batches: Any, tasks: list[Task], step: Step) -> None:
    """Neither old models nor old programs stay alive: the tensors that live after 50 cuts are those after 3."""
    torch.manual_seed(0)
    net = nn.ModuleDict({"trunk": nn.Conv2d(3, 56, 1), "classes": nn.Conv2d(56, 5, 1), "depth": nn.Conv2d(56, 1, 1)})

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = net

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            features = self.parts["trunk"](x).relu()
            return {name: self.parts[name](features) for name in ("classes", "depth")}

    method = paper(budget=Budget(channels=5 / 56), every=1, remove=1)
    model, run = method.start(Wide(), example, tasks, steps=60)
    optimizer = torch.optim.SGD(run.parameter_groups(model, lr=1e-3), momentum=0.9)
    counts = []
    for number in range(50):
        model = step(model, run, optimizer, batches[number % 8], tasks)
        counts.append(live_tensors() if number in {2, 49} else (0, 0, 0))
    assert len(plans_of(model)) == 50
    assert model.get_parameter("parts.trunk.weight").shape[0] == 6
    assert counts[49][0] <= counts[2][0]
    assert counts[49][1] < counts[2][1]
    assert counts[49][2] <= counts[2][2]
