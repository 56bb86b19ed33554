"""Classification against counting by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import ContractError, SettingError
from niwaki.tasks import Classification, Evaluation


@given(st.integers(0, 1000), st.integers(2, 6))
def test_accuracy_is_counted_over_labelled_samples(seed: int, classes: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    pred = torch.randn(12, classes, generator=draw)
    target = torch.randint(-1, classes, (12,), generator=draw)
    target[0] = 0
    evaluation = Evaluation([Classification(classes)])
    for at in (0, 5):
        evaluation.update(pred[at : at + 5 + 2 * (at > 0)], target[at : at + 5 + 2 * (at > 0)])
    rows = [(p, t) for p, t in zip(pred.argmax(1).tolist(), target.tolist(), strict=True) if t != -1]
    right = 100 * sum(p == t for p, t in rows) / len(rows)
    assert evaluation.compute()["classification"] == {"accuracy": pytest.approx(right)}


@given(st.integers(0, 1000))
def test_f1_of_the_positive_class(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    pred, target = torch.randn(20, 2, generator=draw), torch.randint(0, 2, (20,), generator=draw)
    target[:2] = 1
    task = Classification(2, name="smiling", positive=1)
    evaluation = Evaluation([task])
    evaluation.update({"smiling": pred}, {"smiling": target})
    rows = list(zip(pred.argmax(1).tolist(), target.tolist(), strict=True))
    hit, wrong = sum(p == t == 1 for p, t in rows), sum(p != t for p, t in rows)
    assert task.primary == "f1"
    assert evaluation.compute()["smiling"]["f1"] == pytest.approx(100 * 2 * hit / (2 * hit + wrong))


def test_loss_is_the_mean_over_labelled_samples() -> None:
    pred = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([2, -1, 0, -1])
    log_share = pred.log_softmax(1)
    assert Classification(3).loss(pred, target) == pytest.approx(float(-(log_share[0, 2] + log_share[2, 0]) / 2))


def test_a_positive_class_outside_the_classes_is_refused() -> None:
    with pytest.raises(SettingError, match=r"positive is one of the classes 0\.\.1; got 2"):
        Classification(2, positive=2)


def test_a_misfit_names_task_got_and_expected() -> None:
    with pytest.raises(
        ContractError, match=r"task 'classification': the target is int64\[3\]; expected labels int\[N\]"
    ):
        Classification(3).loss(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ContractError, match=r"the prediction is float32\[2, 4\]; expected logits float\[N, 3\]"):
        Classification(3).loss(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))


def test_a_class_label_has_no_picture() -> None:
    assert Classification(3).draw(torch.zeros(3)) is None
