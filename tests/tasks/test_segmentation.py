"""Segmentation against slow loops over pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import ContractError, SettingError
from niwaki.tasks import Evaluation, Segmentation
from niwaki.tasks.colours import INVALID, palette


def made(seed: int, classes: int, ignore_index: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    pred = torch.randn(3, classes, 5, 4, generator=draw)
    target = torch.randint(0, max(1, classes - 1), (3, 5, 4), generator=draw)
    target[torch.rand(3, 5, 4, generator=draw) < 0.3] = ignore_index
    target[0, 0, 0] = 0
    return pred, target


def loop_scores(pred: torch.Tensor, target: torch.Tensor, ignore_index: int) -> tuple[float, float, int]:
    classes = pred.shape[1]
    answers = pred.numpy().argmax(1)
    inter, union, right, total = [0] * classes, [0] * classes, 0, 0
    for answer, label in zip(answers.ravel().tolist(), target.numpy().ravel().tolist(), strict=True):
        if label == ignore_index:
            continue
        total += 1
        right += answer == label
        for each in range(classes):
            inter[each] += answer == each and label == each
            union[each] += each in (answer, label)
    ious = [i / u for i, u in zip(inter, union, strict=True) if u]
    return 100 * sum(ious) / len(ious), 100 * right / total, len(ious)


@given(st.integers(0, 1000), st.integers(2, 6), st.sampled_from([-1, 255]))
def test_scores_agree_with_a_loop_over_the_whole_split(seed: int, classes: int, ignore_index: int) -> None:
    task = Segmentation(classes, ignore_index=ignore_index)
    evaluation = Evaluation([task])
    pred, target = made(seed, classes, ignore_index)
    for i in range(3):  # batches of one give what the whole gives
        evaluation.update({task.name: pred[i : i + 1]}, {task.name: target[i : i + 1]})
    miou, accuracy, present = loop_scores(pred, target, ignore_index)
    found = evaluation.compute()[task.name]
    assert found == pytest.approx({"miou": miou, "pixel_accuracy": accuracy, "classes_present": present})


@pytest.mark.parametrize("ignore_index", [-1, 255])
def test_loss_is_the_mean_over_labelled_pixels(ignore_index: int) -> None:
    pred, target = made(3, 4, ignore_index)
    terms = []
    for n in range(3):
        for y in range(5):
            for x in range(4):
                label = int(target[n, y, x])
                if label != ignore_index:
                    logits = pred[n, :, y, x].double().tolist()
                    terms.append(math.log(sum(math.exp(v) for v in logits)) - logits[label])
    loss = Segmentation(4, ignore_index=ignore_index).loss(pred, target)
    assert float(loss) == pytest.approx(sum(terms) / len(terms), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_any_integer_type_mean_the_same(dtype: torch.dtype) -> None:
    task = Segmentation(4, ignore_index=255)
    pred, target = made(1, 4, 255)
    assert task.loss(pred, target.to(dtype)) == task.loss(pred, target)


def test_a_class_absent_from_target_and_prediction_is_not_averaged() -> None:
    task = Segmentation(5)
    evaluation = Evaluation([task])
    logits = torch.nn.functional.one_hot(torch.tensor([[[0, 0, 1, 1]]]), 5).movedim(-1, 1).float()
    evaluation.update({"segmentation": logits}, {"segmentation": torch.tensor([[[0, 1, 1, -1]]])})
    assert evaluation.compute()["segmentation"] == pytest.approx(
        {"miou": 50.0, "pixel_accuracy": 200 / 3, "classes_present": 2}
    )


FAULTS = [
    (
        torch.zeros(2, 4, 8, 8),
        torch.zeros(2, 1, 8, 8, dtype=torch.int64),
        r"target is int64\[2, 1, 8, 8\]; expected labels",
    ),
    (
        torch.zeros(2, 4, 8, 8),
        torch.zeros(2, 4, 4, dtype=torch.int64),
        r"target is int64\[2, 4, 4\]; expected labels int",
    ),
    (torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 8), r"target is float32\[2, 8, 8\]; expected labels int\[N, H, W\]"),
    (
        torch.zeros(2, 5, 8, 8),
        torch.zeros(2, 8, 8).long(),
        r"prediction is float32\[2, 5, 8, 8\]; expected logits float\[N, 4,",
    ),
    (torch.zeros(2, 4, 8, 8).long(), torch.zeros(2, 8, 8).long(), r"prediction is int64\[2, 4, 8, 8\]"),
    ("map", torch.zeros(2, 8, 8).long(), "prediction is str"),
    (torch.zeros(2, 4, 8, 8), torch.full((2, 8, 8), 4), r"label 4; expected 0\.\.3, or -1 for 'no label'"),
    (torch.zeros(2, 4, 8, 8), torch.full((2, 8, 8), -2), "label -2"),
]


@pytest.mark.parametrize(("pred", "target", "message"), FAULTS)
def test_a_misfit_names_task_got_and_expected(pred: object, target: torch.Tensor, message: str) -> None:
    task = Segmentation(4, name="rooms")
    with pytest.raises(ContractError, match=f"task 'rooms': .*{message}"):
        task.loss(pred, target)
    with pytest.raises(ContractError, match=message):
        Evaluation([task]).update({"rooms": pred}, {"rooms": target})


def test_fewer_than_two_classes_are_refused() -> None:
    with pytest.raises(SettingError, match="Segmentation: classes"):
        Segmentation(1)


def test_pictures_of_logits_and_of_labels_agree_and_leave_the_unlabelled_grey() -> None:
    task = Segmentation(13)
    labels = torch.arange(13).reshape(1, 13) - 1
    picture = task.draw(labels)
    assert picture is not None
    assert picture[0, 0].tolist() == [INVALID] * 3
    np.testing.assert_array_equal(picture[0, 1:], palette(13)[:12])
    logits = torch.nn.functional.one_hot(labels.clamp(min=0), 13).movedim(-1, 0).float()
    drawn = task.draw(logits, labels)
    assert drawn is not None
    np.testing.assert_array_equal(drawn[0, 1:], picture[0, 1:])
