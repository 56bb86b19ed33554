"""The ascent on the simplex: projection, fixed points, extremes, cadence, normalised losses."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from niwaki.balance import STCH, Balancer, Equal, MinMax
from niwaki.balance.minmax import ascend
from niwaki.balance.normalise import FIRST_STEPS
from niwaki.balance.simplex import project_simplex
from niwaki.errors import ContractError, SettingError

TASKS = ("segmentation", "depth", "normals")
vectors = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=20).map(torch.tensor)


def losses_of(*values: float, tasks: tuple[str, ...] = TASKS) -> dict[str, Tensor]:
    return {task: torch.tensor(value) for task, value in zip(tasks, values, strict=False)}


def settled(losses: Tensor, *, gamma: float, beta: float, steps: int = 400) -> Tensor:
    weights = torch.full_like(losses, 1 / len(losses))
    for _ in range(steps):
        weights = ascend(weights, losses, gamma=gamma, beta=beta)
    return weights


@given(vectors)
@settings(max_examples=25, derandomize=True)
def test_the_projection_is_on_the_simplex_idempotent_and_keeps_the_order(vector: Tensor) -> None:
    point = project_simplex(vector)
    assert point.min() >= 0
    assert point.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(project_simplex(point), point, atol=1e-6)
    order = vector.argsort()
    assert (point[order].diff() >= 0).all()


@given(vectors)
@settings(max_examples=25, derandomize=True)
def test_the_projection_is_the_nearest_point(vector: Tensor) -> None:
    """A slow bisection of the number that is taken off finds the same point."""
    low, high = vector.min().item() - 1, vector.max().item()
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if (vector - middle).clamp(min=0).sum() > 1 else (low, middle)
    assert torch.allclose(project_simplex(vector), (vector - low).clamp(min=0), atol=2e-5)


@given(vectors, st.floats(0.5, 20), st.floats(1, 3))
@settings(max_examples=25, derandomize=True)
def test_fixed_losses_lead_to_the_fixed_point(losses: Tensor, gamma: float, speed: float) -> None:
    expected = project_simplex(1 / len(losses) + losses / gamma)
    assert torch.allclose(settled(losses, gamma=gamma, beta=speed * gamma, steps=100), expected, atol=1e-4)


def test_the_numbers_of_the_method_page() -> None:
    weights = settled(torch.tensor([1.2, 0.5, 0.2]), gamma=5.0, beta=50.0)
    assert weights.tolist() == pytest.approx([0.4467, 0.3067, 0.2467], abs=1e-4)


@pytest.mark.parametrize("count", [3, 20])
def test_a_task_above_the_mean_gains_what_the_number_of_tasks_says(count: int) -> None:
    """`K w - 1 = K (F - mean F) / gamma` inside the simplex: +18 % for 3 tasks, +120 % for 20."""
    losses = torch.full((count,), 1.0)
    losses[0] += 0.3 * count / (count - 1)  # .3 above the mean of all
    gain = count * settled(losses, gamma=5.0, beta=50.0, steps=2000)[0] - 1
    assert gain.item() == pytest.approx({3: 0.18, 20: 1.2}[count], abs=1e-3)


def test_gamma_without_end_is_equal_and_none_at_all_is_the_worst_task() -> None:
    losses = torch.tensor([1.2, 0.5, 0.2])
    assert settled(losses, gamma=1e6, beta=1e6).tolist() == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert settled(losses, gamma=0.0, beta=10.0).tolist() == pytest.approx([1, 0, 0], abs=1e-5)


def test_a_step_too_large_for_gamma_oscillates_and_is_refused() -> None:
    losses, weights, seen = torch.tensor([1.2, 0.5, 0.2]), torch.tensor([0.5, 0.3, 0.2]), []
    for _ in range(200):
        weights = ascend(weights, losses, gamma=5.0, beta=2.0)
        seen.append(weights)
    assert (seen[-1] - seen[-2]).abs().max() > 0.1
    for beta in (2.5, 2.0, -1.0, math.inf, math.nan):
        with pytest.raises(SettingError, match=r"beta must be above gamma / 2 = 2\.5, or the weights oscillate"):
            MinMax(gamma=5.0, beta=beta)
    MinMax(gamma=5.0, beta=2.6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1.0}, "gamma must be a number of at least 0; got -1.0"),
        ({"gamma": math.inf}, "gamma must be"),
        ({"cadence": "batch"}, "cadence must be ema, step or epoch; got 'batch'"),
        ({"decay": 1.0}, "decay must be in"),
        ({"normalise": "mean"}, "normalise must be initial, reference, running, none or a scale for each task"),
        ({"normalise": {"depth": 0.0}}, r"normalise\.depth must be a number above 0; got 0\.0"),
    ],
)
def test_options_outside_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        MinMax(**options)
    assert caught.value.problems[0].place[0] == next(iter(options))  # a recipe's message names the option's line


def test_the_scalar_is_taken_at_the_weights_so_far() -> None:
    balance = MinMax(normalise="none", cadence="step", gamma=1.0, beta=2.0)
    assert balance(losses_of(3.0, 1.0, 1.0)).item() == pytest.approx(5.0)
    assert balance.weights == pytest.approx(dict.fromkeys(TASKS, 1.0))
    weights = ascend(torch.full((3,), 1 / 3), torch.tensor([3.0, 1.0, 1.0]), gamma=1.0, beta=2.0)
    assert list(balance.simplex.values()) == pytest.approx(weights.tolist())
    value = balance(losses_of(1.0, 1.0, 2.0))
    assert value.item() == pytest.approx(3 * (weights @ torch.tensor([1.0, 1.0, 2.0])).item())
    assert list(balance.weights.values()) == pytest.approx((3 * weights).tolist())


def test_the_average_begins_at_the_first_loss_and_absent_tasks_keep_theirs() -> None:
    balance = MinMax(normalise="none", decay=0.5, gamma=1.0, beta=10.0)
    weights, mean = torch.full((3,), 1 / 3), torch.tensor([3.0, 1.0, 2.0])
    for values in ((3.0, 1.0, 2.0), (1.0, 1.0, 4.0)):
        balance(losses_of(*values))
        mean = mean + (torch.tensor(values) - mean) / 2
        weights = ascend(weights, mean, gamma=1.0, beta=10.0)
    balance(losses_of(9.0))
    mean[0] += (9.0 - mean[0]) / 2
    weights = ascend(weights, mean, gamma=1.0, beta=10.0)
    assert list(balance.simplex.values()) == pytest.approx(weights.tolist())


def test_what_is_drawn_is_the_place_on_the_simplex() -> None:
    """Before the scales: the same three losses in other units are drawn alike, an equal share as 1."""
    drawn = []
    for units in ((1.0, 1.0, 1.0), (1000.0, 1.0, 0.001)):
        balance = MinMax(gamma=1.0, beta=2.0)
        for values in ((1.0, 1.0, 1.0), (3.0, 1.0, 2.0), (1.0, 1.0, 1.0)):
            before = balance.simplex
            balance(losses_of(*(value * unit for value, unit in zip(values, units, strict=True))))
        assert balance.emphasis == pytest.approx({task: 3 * weight for task, weight in before.items()})
        drawn.append(list(balance.emphasis.values()))
    assert drawn[0] == pytest.approx(drawn[1], rel=1e-4)
    assert max(drawn[0]) > 1.2
    control = Equal(normalise="initial")
    control(losses_of(4.0, 2.0, 0.5))
    assert control.emphasis == dict.fromkeys(TASKS, 1.0)
    assert control.weights == {"segmentation": 0.25, "depth": 0.5, "normals": 2.0}
    plain = Equal()
    plain(losses_of(4.0, 2.0, 0.5))
    assert plain.emphasis == plain.weights == dict.fromkeys(TASKS, 1.0)


def test_by_epoch_only_the_first_batch_moves_the_weights() -> None:
    balance = MinMax(normalise="none", cadence="epoch", gamma=1.0, beta=10.0)
    weights = torch.full((3,), 1 / 3)
    for epoch in ([(3.0, 1.0, 2.0), (9.0, 0.0, 0.0)], [(1.0, 2.0, 1.0), (0.0, 9.0, 9.0), (5.0, 5.0, 5.0)]):
        for values in epoch:
            balance(losses_of(*values))
        weights = ascend(weights, torch.tensor(epoch[0]), gamma=1.0, beta=10.0)
        assert list(balance.simplex.values()) == pytest.approx(weights.tolist())
        balance.end_epoch()


def test_a_task_that_comes_later_enters_at_its_share() -> None:
    balance = MinMax(normalise="none", gamma=1e6, beta=1e6)
    balance(losses_of(1.0, 1.0, tasks=TASKS[:2]))
    balance(losses_of(1.0, 1.0, 1.0))
    assert balance.simplex == pytest.approx(dict.fromkeys(TASKS, 1 / 3), abs=1e-5)
    balance(losses_of(1.0, tasks=TASKS[2:]))
    assert balance.weights == pytest.approx({"normals": 1.0}, abs=1e-5)


def test_losses_are_divided_by_what_they_were_at_first() -> None:
    balance, control = MinMax(gamma=1e6, beta=1e6), Equal(normalise="initial")
    generator = torch.Generator().manual_seed(0)
    history = torch.rand(60, 3, generator=generator) * torch.tensor([1000.0, 1.0, 0.001])
    for step, values in enumerate(history):
        scales = history[: min(step + 1, FIRST_STEPS)].mean(0)
        losses = losses_of(*values.tolist())
        expected = (values / scales).sum().item()
        assert control(losses).item() == pytest.approx(expected, rel=1e-4)
        assert balance(losses).item() == pytest.approx(expected, rel=1e-3)  # the fair control
        assert list(control.weights.values()) == pytest.approx((1 / scales).tolist(), rel=1e-4)


def test_the_first_steps_are_those_in_which_the_task_was_seen() -> None:
    balance = Equal(normalise="initial")
    for _ in range(FIRST_STEPS + 5):
        balance(losses_of(2.0, tasks=("depth",)))
    for _ in range(FIRST_STEPS):
        balance(losses_of(8.0, 4.0, tasks=("depth", "normals")))
    for _ in range(5):
        balance(losses_of(9.0, 9.0, tasks=("depth", "normals")))
    assert balance.weights == pytest.approx({"depth": 1 / 2, "normals": 1 / 4})


def test_a_running_mean_follows_the_losses() -> None:
    balance = Equal(normalise="running")
    for _ in range(700):
        balance(losses_of(8.0, tasks=("depth",)))
    for _ in range(700):
        balance(losses_of(2.0, tasks=("depth",)))
    assert balance.weights["depth"] == pytest.approx(0.5, rel=5e-3)


@pytest.mark.parametrize("make", [MinMax, Equal, STCH])
def test_a_reference_and_given_scales(make: Any) -> None:
    balance = make(normalise="reference")
    with pytest.raises(ContractError, match="no reference loss for the task 'segmentation'; call refer"):
        balance(losses_of(1.0, 1.0, 1.0))
    balance.reset()
    balance.refer({"segmentation": 2.0, "depth": 4.0, "normals": 1.0})
    balance(losses_of(2.0, 4.0, 1.0))
    expected = {"segmentation": 1 / 2, "depth": 1 / 4, "normals": 1.0}
    assert balance.weights == pytest.approx(expected)
    other = make(normalise="reference")
    other.load_state_dict(balance.state_dict())
    other(losses_of(2.0, 4.0, 1.0))
    assert other.weights == pytest.approx(expected)
    scaled = make(normalise={"segmentation": 2.0, "depth": 4.0, "normals": 1.0})
    scaled(losses_of(2.0, 4.0, 1.0))
    assert scaled.weights == pytest.approx(expected)
    with pytest.raises(ContractError, match="`normalise` has no scale for the task 'depth'; add one"):
        make(normalise={"segmentation": 2.0})(losses_of(2.0, 4.0, tasks=TASKS[:2]))


def test_zero_and_negative_losses_have_a_positive_scale() -> None:
    balance = Equal(normalise="initial")
    balance(losses_of(0.0, -4.0, 2.0))
    assert balance.weights == {"segmentation": 1.0, "depth": 0.25, "normals": 0.5}


def test_it_protects_the_worst_task() -> None:
    """Three losses pull a number to -1, one to 2. Training ends where the weights' fixed point and the slopes meet."""

    def slope(place: float, gamma: float) -> float:
        losses = torch.tensor([(place + 1) ** 2] * 3 + [(place - 2) ** 2])
        weights = project_simplex(0.25 + losses / gamma)
        return (weights[:3].sum() * (place + 1) + weights[3] * (place - 2)).item()

    def train(balance: Balancer) -> float:
        place = torch.tensor(0.0, requires_grad=True)
        for _ in range(150):
            losses = {f"left{i}": (place + 1).square() for i in range(3)} | {"right": (place - 2).square()}
            (step,) = torch.autograd.grad(balance(losses), place)
            with torch.no_grad():
                place -= 0.05 * step
        return place.item()

    low, high = -1.0, 2.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle, 4.0) > 0 else (middle, high)
    assert train(Equal()) == pytest.approx(-0.25, abs=1e-3)
    assert train(MinMax(gamma=4.0, beta=20.0, normalise="none")) == pytest.approx(low, abs=2e-3)
    assert low > 0.3  # where all losses are equal is 0.5
