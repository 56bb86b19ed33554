"""Readings: one number of a metric."""

import pytest
import torch
from torchmetrics import MeanMetric, MeanSquaredError
from torchmetrics.classification import MulticlassRecall

from niwaki.errors import ContractError, MeasureError
from niwaki.tasks.reading import Reading, as_reading


@pytest.mark.parametrize(
    ("key", "scale", "computed", "expected"),
    [
        (None, 1.0, torch.tensor(0.25), 0.25),
        (None, 100.0, torch.tensor([0.25]), 25.0),
        (None, 1.0, 3, 3.0),
        ("iou", 100.0, {"iou": torch.tensor(0.5), "n": torch.tensor(2)}, 50.0),
        (1, 1.0, torch.tensor([0.1, 0.75]), 0.75),
    ],
)
def test_a_number_is_found_and_scaled(key: str | int | None, scale: float, computed: object, expected: float) -> None:
    assert Reading(MeanMetric(), "higher", key=key, scale=scale).read(computed) == expected


@pytest.mark.parametrize(
    ("key", "computed", "message"),
    [
        (None, torch.zeros(3), r"MulticlassRecall computed a tensor \[3\] where one number is expected"),
        (None, {"a": 1}, "computed a dict where one number is expected"),
        ("iou", {"a": 1, "b": 2}, "computed no 'iou'; it has: a, b"),
        (5, torch.zeros(3), r"computed no 5; it has: a tensor \[3\]"),
        ("iou", 3.0, "computed no 'iou'; it has: a float"),
    ],
)
def test_what_is_no_number_is_named(key: str | int | None, computed: object, message: str) -> None:
    with pytest.raises(MeasureError, match=message):
        Reading(MulticlassRecall(3, average=None), "higher", key=key).read(computed)


def test_the_direction_comes_from_the_metric() -> None:
    assert as_reading("r", MulticlassRecall(3)).direction == "higher"
    assert as_reading("e", MeanSquaredError()).direction == "lower"
    given = Reading(MeanMetric(), "lower")
    assert as_reading("m", given) is given


def test_a_metric_that_does_not_say_which_direction_is_better_is_refused() -> None:
    with pytest.raises(
        ContractError, match=r"metric 'm' \(MeanMetric\) does not say which direction is better; give Rea"
    ):
        as_reading("m", MeanMetric())


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ContractError, match="direction is 'higher', 'lower' or 'count'; got 'up'"):
        Reading(MeanMetric(), "up")  # type: ignore[arg-type]  # wrong on purpose
