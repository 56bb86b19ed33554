"""Heatmaps against slow loops over cells."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import ContractError
from niwaki.tasks import Evaluation, Heatmap
from niwaki.tasks.colours import INVALID


def made(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    pred = torch.randn(2, 3, 6, 7, generator=draw)
    target = torch.rand(2, 3, 6, 7, generator=draw) * 0.9
    target[torch.rand(2, 3, 6, 7, generator=draw) < 0.1] = 1.0
    target[0, 1] = math.nan
    target[:, :, 4:, 3:5] = math.nan
    target[1, 2] = 0.0
    target[0, 0, 2, 2] = 1.0
    return pred, target


def loop_found(pred: torch.Tensor, target: torch.Tensor, radius: int) -> tuple[int, int]:
    found = peaks = 0
    for heat, truth in zip(pred.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True):
        height, width = len(heat), len(heat[0])
        true = [(y, x) for y in range(height) for x in range(width) if truth[y][x] == 1.0]
        maxima = []
        for y in range(height):
            for x in range(width):
                rows = range(max(0, y - 1), min(height, y + 2))
                places = [(j, i) for j in rows for i in range(max(0, x - 1), min(width, x + 2))]
                around = [heat[j][i] for j, i in places if not math.isnan(truth[j][i])]
                if not math.isnan(truth[y][x]) and heat[y][x] == max(around):
                    maxima.append((heat[y][x], y, x))
        answers = sorted(maxima, reverse=True)[: len(true)]
        peaks += len(true)
        found += sum(any(max(abs(y - j), abs(x - i)) <= radius for _, j, i in answers) for y, x in true)
    return found, peaks


@given(st.integers(0, 1000), st.integers(0, 2))
def test_found_peaks_agree_with_a_loop(seed: int, radius: int) -> None:
    pred, target = made(seed)
    evaluation = Evaluation([Heatmap(radius=radius)])
    evaluation.update({"heatmap": pred[:1]}, {"heatmap": target[:1]})
    evaluation.update({"heatmap": pred[1:]}, {"heatmap": target[1:]})
    found, peaks = loop_found(pred, target, radius)
    known = ~target.isnan()
    rmse = float((pred.double().sigmoid()[known] - target.double()[known]).square().mean().sqrt())
    scores = evaluation.compute()["heatmap"]
    assert (scores["found"], scores["rmse"]) == pytest.approx((100 * found / peaks, rmse), rel=1e-5)


def test_loss_agrees_with_the_equation_cell_by_cell() -> None:
    pred, target = made(1)
    total, peaks = 0.0, 0
    for logit, y in zip(pred.flatten().tolist(), target.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        if y == 1.0:
            total, peaks = total - (1 - p) ** 2 * math.log(p), peaks + 1
        elif not math.isnan(y):
            total -= (1 - y) ** 4 * p**2 * math.log(1 - p)
    assert float(Heatmap().loss(pred, target)) == pytest.approx(total / peaks, rel=1e-4)


def test_gradients_are_clean_where_nothing_is_labelled_and_at_large_logits() -> None:
    pred, target = made(4)
    pred = (pred * 200).requires_grad_()
    Heatmap().loss(pred, target).backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
    assert (pred.grad[target.isnan()] == 0).all()


def test_the_perfect_map_finds_every_peak() -> None:
    _, target = made(7)
    known = target.nan_to_num()
    single = torch.zeros_like(known)
    single[:, :, 1, 1] = single[:, :, 4, 5] = 1.0
    evaluation = Evaluation([Heatmap(radius=0)])
    evaluation.update({"heatmap": 20 * single - 10}, {"heatmap": single})
    scores = evaluation.compute()["heatmap"]
    assert (scores["found"], scores["ap"]) == (100.0, 100.0)


def test_peaks_in_the_wrong_map_cost_precision_and_are_found_none_the_less() -> None:
    single = torch.zeros(1, 3, 6, 6)
    single[0, 0, 1, 1] = 1.0
    everywhere = single[:, :1].expand(-1, 3, -1, -1) * 20 - 10  # says "here" for every class
    second = single.roll(1, dims=1)
    evaluation = Evaluation([Heatmap(radius=0, primary="ap")])
    evaluation.update({"heatmap": everywhere}, {"heatmap": single})
    evaluation.update({"heatmap": everywhere}, {"heatmap": second})
    scores = evaluation.compute()["heatmap"]
    assert scores["found"] == 100.0
    assert scores["ap"] == pytest.approx(100.0 * (1.0 + 0.5) / 2)  # the first answer of a tie is right once, wrong once


def test_a_split_without_any_peak_has_no_share_of_found_ones() -> None:
    for protocol in ("pixel", "mtan"):
        evaluation = Evaluation([Heatmap()], protocol=protocol)
        evaluation.update({"heatmap": torch.zeros(1, 1, 2, 2)}, {"heatmap": torch.zeros(1, 1, 2, 2)})
        found = evaluation.compute()["heatmap"]
        assert math.isnan(found["found"])
        assert math.isnan(found["ap"])
        assert found["rmse"] == pytest.approx(0.5)


def test_a_misfit_names_task_got_and_expected() -> None:
    with pytest.raises(
        ContractError, match=r"task 'heatmap': the target is float32\[1, 2, 4, 4\]; expected float\[N, K"
    ):
        Heatmap().loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4))


def test_hot_is_bright_and_logits_look_like_their_heat() -> None:
    heat = torch.tensor([[[0.1, 0.9, math.nan]], [[0.3, 0.2, math.nan]]])
    picture = Heatmap().draw(heat)
    assert picture is not None
    assert picture[0, 1].astype(int).sum() > picture[0, 0].astype(int).sum()
    assert picture[0, 2].tolist() == [INVALID] * 3
    drawn = Heatmap().draw(heat.logit())
    assert drawn is not None
    assert abs(drawn.astype(int) - picture.astype(int)).max() <= 3
