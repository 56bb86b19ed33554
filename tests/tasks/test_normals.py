"""Normals against slow loops over pixels and closed forms."""

import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import ContractError
from niwaki.tasks import Evaluation, SurfaceNormals, decode_normals
from niwaki.tasks.colours import INVALID
from niwaki.tasks.normals import NormalsScores, angles


def made(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    target = torch.nn.functional.normalize(torch.randn(4, 3, 4, 5, generator=draw), dim=1) * 2
    pred = target + torch.randn(4, 3, 4, 5, generator=draw)
    holes = torch.rand(4, 4, 5, generator=draw)
    target.movedim(1, -1)[holes < 0.3] = 0.0
    target[:, 1][holes > 0.9] = math.nan
    target[0, :, 0, 0] = torch.tensor([0.0, 0.0, -1.0])
    return pred, target


def loop_angles(pred: torch.Tensor, target: torch.Tensor) -> list[float]:
    rows = zip(pred.movedim(1, -1).reshape(-1, 3).tolist(), target.movedim(1, -1).reshape(-1, 3).tolist(), strict=True)
    found = []
    for p, t in rows:
        if any(math.isnan(v) for v in t) or not any(t):
            continue
        cosine = sum(a * b for a, b in zip(p, t, strict=True)) / math.hypot(*p) / math.hypot(*t)
        found.append(math.degrees(math.acos(max(-1.0, min(1.0, cosine)))))
    return found


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]))
def test_scores_agree_with_a_loop_whatever_the_batch_size(seed: int, size: int) -> None:
    pred, target = made(seed)
    evaluation = Evaluation([SurfaceNormals()])
    for at in range(0, 4, size):
        evaluation.update({"normals": pred[at : at + size]}, {"normals": target[at : at + size]})
    every = loop_angles(pred, target)
    expected = {"mean": statistics.fmean(every), "median": statistics.median(every)}
    expected |= {f"within_{most:g}": 100 * sum(a < most for a in every) / len(every) for most in (11.25, 22.5, 30)}
    assert evaluation.compute()["normals"] == pytest.approx(expected, rel=1e-4)


def test_median_of_an_even_number_is_the_middle_of_the_two() -> None:
    scores = NormalsScores()
    degrees = [10.0, 20.0, 40.0, 80.0]
    pred = torch.tensor([[math.sin(math.radians(a)), 0.0, -math.cos(math.radians(a))] for a in degrees])
    scores.update(pred.T.reshape(1, 3, 2, 2), torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2))
    assert float(scores.compute()["median"]) == pytest.approx(30.0, abs=1e-4)


@given(st.floats(0.0, 180.0), st.floats(0.01, 100.0))
def test_angles_are_exact_also_at_the_ends(degrees: float, length: float) -> None:
    turned = length * torch.tensor([[math.sin(math.radians(degrees)), 0.0, math.cos(math.radians(degrees))]])
    assert float(angles(turned, torch.tensor([[0.0, 0.0, 3.0]]))) == pytest.approx(degrees, abs=3e-5)


def test_a_prediction_that_points_nowhere_is_never_right() -> None:
    assert angles(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]])).tolist() == [90.0]


def test_nan_predictions_show_in_every_score_that_averages() -> None:
    scores = NormalsScores()
    target = torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    scores.update(torch.full_like(target, math.nan), target)
    found = scores.compute()
    assert math.isnan(float(found["mean"]))
    assert math.isnan(float(found["median"]))


def test_loss_is_one_minus_the_cosine_and_its_gradient_is_clean() -> None:
    pred, target = made(2)
    pred.requires_grad_()
    loss = SurfaceNormals().loss(pred, target)
    expected = statistics.fmean(1 - math.cos(math.radians(a)) for a in loop_angles(pred.detach(), target))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
    hidden = (target == 0).all(1) | target.isnan().any(1)
    assert (pred.grad.movedim(1, -1)[hidden] == 0).all()


def test_the_gradient_at_a_zero_prediction_is_bounded_and_points_right() -> None:
    pred = torch.zeros(1, 3, 1, 1, requires_grad=True)
    target = torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    SurfaceNormals().loss(pred, target).backward()
    assert pred.grad is not None
    assert pred.grad.abs().max() <= 1001
    assert float(pred.grad[0, 2]) > 0  # descent moves towards z = -1


@given(st.integers(0, 1000))
def test_decoding_undoes_encoding_to_half_a_level(seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(7, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    encoded = np.round((vectors + 1) * 127.5).astype(np.uint8)
    np.testing.assert_allclose(decode_normals(encoded), vectors, atol=0.5 / 127.5 + 1e-6)


def test_bytes_that_are_no_direction_decode_to_no_label() -> None:
    found = decode_normals(np.array([[0, 0, 0], [127, 128, 127], [255, 255, 255], [128, 0, 128]], np.uint8))
    assert (found[:3] == 0).all()
    assert found[3, 1] == -1


def test_the_legacy_reading_makes_a_constant_prediction_look_good() -> None:
    draw = np.random.default_rng(0)
    facing = draw.normal(size=(20000, 3)) * [1, 1, 0.3] - [0, 0, 1.0]
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    encoded = np.round((facing + 1) * 127.5).astype(np.uint8)
    means = []
    for legacy in (False, True):
        vectors = torch.from_numpy(decode_normals(encoded, legacy_adashare=legacy))
        means.append(float(angles(vectors.mean(0, keepdim=True).expand_as(vectors), vectors).mean()))
    assert means[1] < 0.75 * means[0]
    assert (decode_normals(encoded, legacy_adashare=True) >= 0).all()


def test_the_legacy_reading_leaves_out_what_its_authors_did() -> None:
    encoded = np.array([[255, 255, 255], [255, 0, 7], [254, 51, 0]], np.uint8)
    found = decode_normals(encoded, legacy_adashare=True)
    assert (found[:2] == 0).all()
    assert found[2].tolist() == pytest.approx([254 / 255, 0.2, 0])


@pytest.mark.parametrize("values", [np.zeros((2, 3), np.float32), np.zeros((3, 2), np.uint8)])
def test_only_bytes_with_three_channels_are_decoded(values: np.ndarray) -> None:
    with pytest.raises(ContractError, match=r"expected uint8\[\.\.\., 3\]"):
        decode_normals(values)


def test_a_misfit_names_task_got_and_expected() -> None:
    with pytest.raises(
        ContractError, match=r"task 'normals': the prediction is float32\[1, 2, 4, 4\]; expected float\[N, 3"
    ):
        SurfaceNormals().loss(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4))


def test_directions_are_drawn_as_colours() -> None:
    vectors = torch.tensor([[0.0, 0.0, -2.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [math.nan, 0.0, 1.0]])
    picture = SurfaceNormals().draw(vectors.T.reshape(3, 1, 5))
    assert picture is not None
    assert picture[0].tolist() == [[128, 128, 255], [128, 255, 128], [255, 128, 128], [INVALID] * 3, [INVALID] * 3]
