"""Regression against closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import ContractError
from niwaki.tasks import Evaluation, Regression
from niwaki.tasks.colours import INVALID


@given(st.lists(st.tuples(st.floats(-50, 50, width=32), st.floats(-50, 50, width=32) | st.none()), min_size=1))
def test_errors_are_taken_over_labelled_numbers(rows: list[tuple[float, float | None]]) -> None:
    rows = [*rows, (1.0, 2.0)]
    pred = torch.tensor([p for p, _ in rows])
    target = torch.tensor([math.nan if t is None else t for _, t in rows])
    errors = [p - t for p, t in rows if t is not None]
    evaluation = Evaluation([Regression()])
    evaluation.update(pred, target)
    found = evaluation.compute()["regression"]
    assert found["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors), rel=1e-5, abs=1e-6)
    square = sum(e * e for e in errors) / len(errors)
    assert found["rmse"] == pytest.approx(math.sqrt(square), rel=1e-5, abs=1e-6)
    assert float(Regression().loss(pred, target)) == pytest.approx(square, rel=1e-4, abs=1e-6)


def test_a_sample_may_lack_some_of_its_numbers() -> None:
    pred = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    loss = Regression().loss(pred, torch.tensor([[0.0, math.nan], [math.nan, 2.0]]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2.5)
    assert pred.grad is not None
    assert pred.grad.tolist() == [[1.0, 0.0], [0.0, 2.0]]


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [
        (torch.zeros(3, 1), torch.zeros(3), r"target is float32\[3\]; expected floats of the prediction's shape"),
        (torch.zeros(3), torch.zeros(3).int(), r"target is int32\[3\]"),
        (torch.zeros(()), torch.zeros(()), r"prediction is float32\[\]; expected float\[N, \.\.\.\]"),
    ],
)
def test_a_misfit_names_task_got_and_expected(pred: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ContractError, match=f"task 'age': the {message}"):
        Regression(name="age").loss(pred, target)


def test_the_loss_may_be_of_absolute_errors() -> None:
    pred = torch.tensor([[1.0, 5.0], [-2.0, 0.0]], requires_grad=True)
    loss = Regression(error="absolute").loss(pred, torch.tensor([[0.0, 2.0], [1.0, math.nan]]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(7 / 3)
    assert pred.grad is not None
    assert pred.grad.flatten().tolist() == pytest.approx([1 / 3, 1 / 3, -1 / 3, 0])


def test_a_map_has_a_picture_and_numbers_have_none() -> None:
    task, truth = Regression(name="edge"), torch.tensor([[[-1.0, 0.0, 1.0, math.nan]]])
    picture = task.draw(truth)
    assert picture is not None
    light = picture[0, :3].astype(int).sum(-1)
    assert light[0] < light[1] < light[2]
    assert picture[0, 3].tolist() == [INVALID] * 3
    weak, alone = task.draw(truth / 2, truth), task.draw(truth / 2)
    assert weak is not None
    assert alone is not None
    assert (weak[0, 1] == picture[0, 1]).all()
    assert not (weak[0, 2] == picture[0, 2]).all()
    assert (alone[0, 2] == picture[0, 2]).all()
    assert task.draw(torch.tensor([1.0, 2.0])) is None
    assert task.draw(torch.zeros(2, 4, 4)) is None
