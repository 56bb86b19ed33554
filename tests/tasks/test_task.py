"""Free tasks: anybody's loss and metrics."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanAbsoluteError, MetricCollection
from torchmetrics.classification import (
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassJaccardIndex,
    MulticlassPrecision,
)

from niwaki.errors import ContractError
from niwaki.tasks import Evaluation, Reading, Task


def edges() -> Task:
    return Task(
        "edges",
        loss=F.binary_cross_entropy_with_logits,
        metrics={"f1": BinaryF1Score(), "error": Reading(MeanAbsoluteError(), "lower", "px")},
        primary="f1",
    )


def test_directions_come_from_the_metric_or_are_given() -> None:
    assert edges().directions == {"f1": "higher", "error": "lower"}
    assert edges().units == {"f1": "", "error": "px"}
    assert repr(edges()) == "Task('edges', metrics=[f1, error], primary='f1')"


def test_samples_of_nan_are_left_out_of_any_loss_and_metric() -> None:
    pred = torch.tensor([[2.0, -1.0], [0.3, 0.1], [-3.0, 4.0]])
    target = torch.tensor([[1.0, 0.0], [math.nan, math.nan], [0.0, 1.0]])
    kept = torch.tensor([0, 2])
    expected = F.binary_cross_entropy_with_logits(pred[kept], target[kept])
    assert edges().loss(pred, target) == expected
    task = Task("any", loss=F.mse_loss, metrics={"mae": MeanAbsoluteError()}, primary="mae")
    evaluation = Evaluation([task])
    evaluation.update({"any": pred}, {"any": target})
    assert evaluation.compute()["any"]["mae"] == pytest.approx(float((pred - target)[kept].abs().mean()))


def test_the_user_says_where_labels_are() -> None:
    task = Task(
        "kind",
        loss=F.cross_entropy,
        metrics={"mae": MeanAbsoluteError()},
        primary="mae",
        labelled=lambda target: target >= 0,
    )
    pred = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert task.loss(pred, torch.tensor([1, -1, 3])) == F.cross_entropy(pred[[0, 2]], torch.tensor([1, 3]))
    assert not task.has_labels(torch.tensor([-1, -1]))


def test_whole_numbers_are_labels_unless_told_otherwise_and_none_is_none() -> None:
    assert edges().has_labels(torch.tensor([0, -1]))
    assert not edges().has_labels(None)
    assert edges().has_labels("anything else is the user's")


def test_outputs_that_are_no_tensor_reach_the_users_loss_as_they_are() -> None:
    seen: list[object] = []

    def loss(pred: dict[str, Tensor], target: list[int]) -> Tensor:
        seen.extend([pred, target])
        return pred["mean"].sum()

    task = Task("boxes", loss=loss, metrics={"mae": MeanAbsoluteError()}, primary="mae")
    pred = {"mean": torch.ones(2)}
    assert task.loss(pred, [1, 2]) == 2
    assert seen == [pred, [1, 2]]
    assert task.loss(pred, torch.full((2,), math.nan)) == 0


def test_a_single_number_is_a_batch_of_its_own() -> None:
    task = Task("one", loss=F.mse_loss, metrics={"mae": MeanAbsoluteError()}, primary="mae")
    assert task.loss(torch.tensor(3.0), torch.tensor(1.0)) == 4


def test_a_loss_per_sample_is_refused() -> None:
    task = Task(
        "many",
        loss=lambda p, t: F.mse_loss(p, t, reduction="none"),
        metrics={"mae": MeanAbsoluteError()},
        primary="mae",
    )
    with pytest.raises(ContractError, match=r"task 'many': the loss is float32\[2\]; expected one number"):
        task.loss(torch.zeros(2), torch.zeros(2))


def test_prediction_and_target_of_different_batches_are_refused() -> None:
    with pytest.raises(ContractError, match=r"task 'edges': the target is float32\[3\]; expected as many samples"):
        edges().loss(torch.zeros(2), torch.zeros(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "a task's name is a text of at least one letter; got ''"),
        ({"primary": "f2"}, r"task 'edges': the primary metric 'f2' is none of its metrics \(f1\)"),
        ({"metrics": {}}, r"none of its metrics \(none\)"),
        ({"metrics": {"f1": Reading(BinaryF1Score(), "count")}}, "the primary metric 'f1' is a count"),
        ({"metrics": {"f1": F.mse_loss}}, r"a metric is a torchmetrics\.Metric; got function"),
    ],
)
def test_every_fault_of_a_task_is_named(change: dict[str, object], message: str) -> None:
    options: dict[str, object] = {
        "name": "edges",
        "loss": F.mse_loss,
        "metrics": {"f1": BinaryF1Score()},
        "primary": "f1",
    }
    with pytest.raises(ContractError, match=message):
        Task(**(options | change))  # type: ignore[arg-type]  # wrong on purpose


def test_the_users_drawing_gets_value_and_target_and_is_checked() -> None:
    def draw(value: Tensor, target: Tensor | None) -> np.ndarray:
        size = (2, 2, 3) if target is None else (2, 2)
        return np.full(size, int(value), np.uint8)

    task = Task("any", loss=F.mse_loss, metrics={"mae": MeanAbsoluteError()}, primary="mae", draw=draw)
    picture = task.draw(torch.tensor(7.0))
    assert picture is not None
    assert (picture == 7).all()
    with pytest.raises(ContractError, match=r"the drawing is uint8\[2, 2\]; expected uint8\[H, W, 3\]"):
        task.draw(torch.tensor(7.0), torch.tensor(1.0))


def test_a_users_loss_runs_in_float32_under_autocast() -> None:
    def loss(pred: Tensor, target: Tensor) -> Tensor:
        return (pred @ pred.T - target).square().mean()  # autocast would multiply in bfloat16

    task = Task("gram", loss=loss, metrics={"mae": MeanAbsoluteError()}, primary="mae")
    pred = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    expected = loss(pred, torch.zeros(4, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = task.loss(pred, torch.zeros(4, 4))
    assert found.dtype == torch.float32
    assert found == expected


def kinds() -> MetricCollection:
    return MetricCollection([MulticlassAccuracy(3), MulticlassPrecision(3), MulticlassJaccardIndex(3)], prefix="val_")


@pytest.mark.parametrize("used", [False, True])
def test_a_collection_of_torchmetrics_keeps_its_names_and_numbers(used: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    pred, target = torch.randn(50, 3, generator=draw), torch.randint(0, 3, (50,), generator=draw)
    collection = kinds()
    if used:  # its metrics share states from then on
        collection.update(pred[:7], target[:7])
    task = Task("kind", loss=F.cross_entropy, metrics=collection, primary="val_MulticlassAccuracy")
    assert set(task.directions.values()) == {"higher"}
    evaluation = Evaluation([task])
    for each in range(0, 50, 20):
        evaluation.update({"kind": pred[each : each + 20]}, {"kind": target[each : each + 20]})
    expected = kinds()(pred, target)
    assert evaluation.compute()["kind"] == pytest.approx({name: float(value) for name, value in expected.items()})


def test_a_metric_without_a_direction_is_refused_also_in_a_collection() -> None:
    unknown = MetricCollection([MulticlassAccuracy(3), MulticlassConfusionMatrix(3)])
    with pytest.raises(ContractError, match="'MulticlassConfusionMatrix' .* does not say which direction is better"):
        Task("kind", loss=F.cross_entropy, metrics=unknown, primary="MulticlassAccuracy")


def test_a_collection_under_one_name_is_refused() -> None:
    with pytest.raises(ContractError, match=r"'scores' is a collection of val_MulticlassAccuracy.* unpack it"):
        Task("kind", loss=F.cross_entropy, metrics={"scores": kinds()}, primary="scores")  # type: ignore[dict-item]
    task = Task("kind", loss=F.cross_entropy, metrics={**dict(kinds().items()), "f1": BinaryF1Score()}, primary="f1")
    assert list(task.directions)[-2:] == ["val_MulticlassJaccardIndex", "f1"]


def test_an_error_of_a_loss_or_metric_says_whose_it_was_and_what_it_was_given() -> None:
    pred, target = torch.zeros(2, 3, 4, 4), torch.zeros(2, 8, 8, dtype=torch.long)
    task = Task("kind", loss=F.cross_entropy, metrics={"iou": MulticlassJaccardIndex(3)}, primary="iou")
    with pytest.raises(RuntimeError) as loss:
        task.loss(pred, target)
    given = "of task 'kind', given prediction float32[2, 3, 4, 4] and target int64[2, 8, 8]"
    assert loss.value.__notes__ == [f"in the loss {given}"]
    with pytest.raises(ValueError, match="should be") as metric:
        Evaluation([task]).update({"kind": pred}, {"kind": target})
    assert metric.value.__notes__ == [f"in the metric MulticlassJaccardIndex {given}"]
