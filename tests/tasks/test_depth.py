"""Depth against slow loops over pixels."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import ContractError, SettingError
from niwaki.tasks import Depth, Evaluation
from niwaki.tasks.colours import INVALID

INVALID_DEPTHS = (0.0, -1.0, math.nan, math.inf)


def made(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    target = torch.rand(4, 1, 5, 6, generator=draw) * 9 + 0.5
    pred = target * (0.5 + torch.rand(4, 1, 5, 6, generator=draw)) - 0.3
    holes = torch.rand(4, 1, 5, 6, generator=draw) < 0.4
    kinds = torch.randint(0, 4, (4, 1, 5, 6), generator=draw)
    target[holes] = torch.tensor(INVALID_DEPTHS)[kinds[holes]]
    target[0, 0, 0, 0], pred[0, 0, 0, 0] = 2.0, -0.5
    return pred, target


def loop_scores(pred: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    rows = [(p, t) for p, t in zip(pred.flatten().tolist(), target.flatten().tolist(), strict=True) if 0 < t < math.inf]
    number = len(rows)
    found = {
        "abs": sum(abs(p - t) for p, t in rows) / number,
        "rel": sum(abs(p - t) / t for p, t in rows) / number,
        "rmse": math.sqrt(sum((p - t) ** 2 for p, t in rows) / number),
    }
    for k in (1, 2, 3):
        found[f"delta{k}"] = 100 * sum(p > 0 and max(p / t, t / p) < 1.25**k for p, t in rows) / number
    return found


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]))
def test_scores_agree_with_a_loop_whatever_the_batch_size(seed: int, size: int) -> None:
    pred, target = made(seed)
    evaluation = Evaluation([Depth()])
    for at in range(0, 4, size):
        evaluation.update({"depth": pred[at : at + size]}, {"depth": target[at : at + size]})
    assert evaluation.compute()["depth"] == pytest.approx(loop_scores(pred, target), rel=1e-5)


def test_loss_is_the_absolute_error_over_valid_pixels_and_its_gradient_is_clean() -> None:
    pred, target = made(5)
    pred.requires_grad_()
    loss = Depth().loss(pred, target)
    assert float(loss.detach()) == pytest.approx(loop_scores(pred.detach(), target)["abs"], rel=1e-5)
    loss.backward()
    assert pred.grad is not None
    valid = torch.isfinite(target) & (target > 0)
    assert torch.isfinite(pred.grad).all()
    assert (pred.grad[~valid] == 0).all()
    assert (pred.grad[valid].abs() * valid.sum()).allclose(torch.tensor(1.0))


def test_a_broken_prediction_where_nothing_is_labelled_does_no_harm() -> None:
    pred = torch.tensor([1.0, math.nan, math.inf, 2.0]).reshape(1, 1, 2, 2).requires_grad_()
    target = torch.tensor([3.0, 0.0, math.nan, 2.5]).reshape(1, 1, 2, 2)
    loss = Depth().loss(pred, target)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.25)
    assert pred.grad is not None
    assert pred.grad.flatten().tolist() == [-0.5, 0.0, 0.0, -0.5]


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        (
            torch.zeros(2, 3, 4, 4),
            torch.zeros(2, 1, 4, 4),
            r"prediction is float32\[2, 3, 4, 4\]; expected float\[N, 1, H, W\]",
        ),
        (
            torch.zeros(2, 1, 4, 4),
            torch.zeros(2, 4, 4),
            r"target is float32\[2, 4, 4\]; expected .* like the prediction",
        ),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4).int(), r"target is int32\[2, 1, 4, 4\]"),
        (torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), r"prediction is float32\[2, 4, 4\]"),
    ],
)
def test_a_misfit_names_task_got_and_expected(pred: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ContractError, match=f"task 'far': .*{message}"):
        Depth(name="far").loss(pred, target)


def test_near_is_bright_and_invalid_is_grey() -> None:
    depth = torch.tensor([[1.0, 2.0, 4.0, 0.0, math.nan]])[None]
    picture = Depth().draw(depth)
    assert picture is not None
    light = picture[0, :3].astype(int).sum(-1)
    assert light[0] > light[1] > light[2]
    assert picture[0, 3:].tolist() == [[INVALID] * 3] * 2


def test_a_prediction_is_drawn_in_the_colours_of_the_truth() -> None:
    truth = torch.linspace(1, 5, 16).reshape(1, 4, 4)
    as_truth, alone = Depth().draw(truth[:, :2], truth), Depth().draw(truth[:, :2])
    whole = Depth().draw(truth)
    assert as_truth is not None
    assert whole is not None
    assert alone is not None
    np.testing.assert_array_equal(as_truth, whole[:2])
    assert not np.array_equal(alone, as_truth)


def test_a_map_without_any_depth_is_all_grey() -> None:
    picture = Depth().draw(torch.zeros(1, 2, 2))
    assert picture is not None
    assert (picture == INVALID).all()


def test_the_unit_of_disparity_is_the_users() -> None:
    assert Depth(unit="").units["abs"] == ""
    assert Depth().units == {"abs": "m", "rel": "", "rmse": "m", "delta1": "%", "delta2": "%", "delta3": "%"}


def test_targets_up_to_a_bound_are_no_labels() -> None:
    pred, target = torch.full((1, 1, 1, 4), 0.5), torch.tensor([[[[3e-5, 4e-5, 0.4, 0.0]]]])
    task = Depth(unit="", scale="inverse", above=3e-5)
    assert float(task.loss(pred, target)) == pytest.approx((0.5 - 4e-5 + 0.1) / 2)
    evaluation = Evaluation([task])
    evaluation.update(pred, target)
    scores = evaluation.compute()["depth"]
    assert scores["rel"] == pytest.approx(((0.5 - 4e-5) / 4e-5 + 0.25) / 2, rel=1e-4)
    assert task.labelled(target).tolist() == [[[[False, True, True, False]]]]
    assert not task.has_labels(torch.full((1, 1, 1, 4), 3e-5))


def test_of_inverse_depth_the_largest_is_bright() -> None:
    near_to_far = torch.tensor([[1.0, 2.0, 4.0, 0.0]])[None]
    inverse = torch.where(near_to_far > 0, 1 / near_to_far, 0.0)
    picture = Depth(unit="", scale="inverse").draw(inverse)
    assert picture is not None
    light = picture[0, :3].astype(int).sum(-1)
    assert light[0] > light[1] > light[2]
    assert picture[0, 3].tolist() == [INVALID] * 3


@pytest.mark.parametrize("wrong", [{"scale": "disparity"}, {"above": -1.0}])
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"Depth: {next(iter(wrong))}: input should be"):
        Depth(**wrong)
