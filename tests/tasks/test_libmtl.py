"""LibMTL's task_dict: hand-written losses and metrics of its interface, and the numbers its own loop would give."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from niwaki.errors import ContractError, MeasureError
from niwaki.models import MultiTaskNet
from niwaki.tasks import Depth, Evaluation, Segmentation, task_losses, tasks_from_libmtl
from niwaki.tasks.libmtl import LibMTLScores


class Records:
    """What LibMTL's abstract metric holds."""

    def __init__(self) -> None:
        self.record: list[Any] = []
        self.bs: list[int] = []

    def reinit(self) -> None:
        self.record, self.bs = [], []


class SegScores(Records):
    """A confusion matrix; scores are mean IoU and pixel accuracy, as fractions."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.reinit()

    def update_fun(self, pred: Tensor, gt: Tensor) -> None:
        known = gt >= 0
        index = self.classes * gt[known] + pred.argmax(1)[known]
        self.counts += np.bincount(index.numpy(), minlength=self.classes**2).reshape(self.classes, self.classes)

    def score_fun(self) -> list[float]:
        right = self.counts.diagonal()
        return [
            float((right / (self.counts.sum(0) + self.counts.sum(1) - right)).mean()),
            right.sum() / self.counts.sum(),
        ]

    def reinit(self) -> None:
        self.counts = np.zeros((self.classes, self.classes))


class DepthScores(Records):
    """The mean over batches, weighted by their valid pixels."""

    def update_fun(self, pred: Tensor, gt: Tensor) -> None:
        mask = gt > 0
        self.record.append(float((pred - gt)[mask].abs().mean()))
        self.bs.append(int(mask.sum()))

    def score_fun(self) -> list[Any]:
        return [torch.tensor((np.array(self.record) * np.array(self.bs)).sum() / sum(self.bs))]


class CrossEntropy:
    def compute_loss(self, pred: Tensor, gt: Tensor) -> Tensor:
        return F.cross_entropy(pred, gt, ignore_index=-1)


class MaskedL1:
    def compute_loss(self, pred: Tensor, gt: Tensor) -> Tensor:
        return (pred - gt)[gt > 0].abs().mean()


def seg_entry() -> dict[str, Any]:
    return {"metrics": ["mIoU", "pixAcc"], "metrics_fn": SegScores(3), "loss_fn": CrossEntropy(), "weight": [1, 1]}


def task_dict() -> dict[str, dict[str, Any]]:
    depth = {"metrics": ["abs_err"], "metrics_fn": DepthScores(), "loss_fn": MaskedL1(), "weight": [0]}
    return {"segmentation": seg_entry(), "depth": depth}


def batches() -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    draw = torch.Generator().manual_seed(0)
    found = []
    for size in (4, 4, 2):
        outputs = {
            "segmentation": torch.randn(size, 3, 5, 6, generator=draw),
            "depth": torch.rand(size, 1, 5, 6, generator=draw) + 1,
        }
        targets = {
            "segmentation": torch.randint(-1, 3, (size, 5, 6), generator=draw),
            "depth": torch.rand(size, 1, 5, 6, generator=draw) - 0.2,
        }
        found.append((outputs, targets))
    return found


def test_weight_is_a_direction_and_the_first_metric_stands_for_the_task() -> None:
    seg, depth = tasks_from_libmtl(task_dict())
    assert seg.directions == {"mIoU": "higher", "pixAcc": "higher"}
    assert depth.directions == {"abs_err": "lower"}
    assert (seg.primary, depth.primary) == ("mIoU", "abs_err")
    assert tasks_from_libmtl(task_dict(), primary={"segmentation": "pixAcc"})[0].primary == "pixAcc"


def test_losses_and_scores_are_those_of_the_ready_tasks() -> None:
    theirs, ours = tasks_from_libmtl(task_dict()), (Segmentation(3), Depth())
    measured, expected = Evaluation(theirs), Evaluation(ours)
    for outputs, targets in batches():
        torch.testing.assert_close(task_losses(theirs, outputs, targets), task_losses(ours, outputs, targets))
        measured.update(outputs, targets)
        expected.update(outputs, targets)
    found, known = measured.compute(), expected.compute()
    assert found["segmentation"]["mIoU"] * 100 == pytest.approx(known["segmentation"]["miou"])
    assert found["segmentation"]["pixAcc"] * 100 == pytest.approx(known["segmentation"]["pixel_accuracy"])
    assert found["depth"]["abs_err"] == pytest.approx(known["depth"]["abs"])


def test_their_own_records_stay_and_evaluations_do_not_meet() -> None:
    given = task_dict()
    given["depth"]["metrics_fn"].record.append(7.0)
    tasks = tasks_from_libmtl(given)
    first, second = Evaluation(tasks), Evaluation(tasks)
    for evaluation, chosen in ((first, batches()[:1]), (second, batches())):
        for each in chosen:
            evaluation.update(*each)
    assert first.compute() != second.compute()
    first.reset()
    for each in batches():
        first.update(*each)
    assert first.compute() == second.compute()
    assert given["depth"]["metrics_fn"].record == [7.0]


def test_the_mean_of_batches_begins_anew_with_each() -> None:
    evaluation = Evaluation(tasks_from_libmtl(task_dict()), protocol="mtan")
    for each in batches():
        evaluation.update(*each)
    each_alone = []
    for outputs, targets in batches():
        valid = targets["depth"] > 0
        each_alone.append(float((outputs["depth"] - targets["depth"])[valid].abs().mean()))
    assert evaluation.compute()["depth"]["abs_err"] == pytest.approx(sum(each_alone) / 3)


def test_missing_labels_are_told_by_the_user() -> None:
    def known(target: Tensor) -> Tensor:
        return target >= 0

    seg = tasks_from_libmtl({"segmentation": seg_entry()}, labelled={"segmentation": known})[0]
    assert not seg.has_labels(torch.full((2, 5, 6), -1))
    assert tasks_from_libmtl({"segmentation": seg_entry()})[0].has_labels(torch.full((2, 5, 6), -1))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


def test_encoder_class_and_decoders_are_a_model() -> None:
    encoder_class, decoders = Encoder, nn.ModuleDict({"segmentation": nn.Conv2d(4, 3, 1), "depth": nn.Conv2d(4, 1, 1)})
    model = MultiTaskNet(encoder_class(), decoders)
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    answers = model(x)
    for task, decoder in decoders.items():
        assert torch.equal(answers[task], decoder(model.encoder(x)))
    losses = task_losses(tasks_from_libmtl(task_dict()), answers, batches()[2][1])
    assert list(losses) == ["segmentation", "depth"]
    assert all(math.isfinite(float(loss.detach())) for loss in losses.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weight": [1]},
            r"'seg': weight has one number for each metric \(mIoU, pixAcc\): 1 where higher .* got \[1\]",
        ),
        ({"weight": [1, 0.5]}, r"weight has one number .* got \[1, 0\.5\]"),
        ({"metrics": []}, r"'seg': metrics is a list of names, each once; got \[\]"),
        ({"metrics": ["a", "a"]}, "each once"),
        ({"metrics": "mIoU"}, "metrics is a list of names"),
        ({"loss_fn": [F.cross_entropy]}, r"'seg': loss_fn is an object with compute_loss\(pred, gt\).* got list"),
        ({"metrics_fn": object()}, "object has no update_fun, score_fun, reinit"),
    ],
)
def test_what_is_no_libmtl_task_is_told(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        tasks_from_libmtl({"seg": seg_entry() | change})


def test_missing_entries_and_unknown_tasks_are_told() -> None:
    with pytest.raises(ContractError, match="'seg' of the task_dict lacks metrics_fn, weight"):
        tasks_from_libmtl({"seg": {"metrics": ["a"], "loss_fn": CrossEntropy()}})
    with pytest.raises(ContractError, match="primary names seq, but the tasks are: seg"):
        tasks_from_libmtl({"seg": seg_entry()}, primary={"seq": "mIoU"})
    with pytest.raises(ContractError, match="labelled names depth, but the tasks are: seg"):
        tasks_from_libmtl({"seg": seg_entry()}, labelled={"depth": torch.isfinite})
    with pytest.raises(ContractError, match="the primary metric 'iou' is none of its metrics"):
        tasks_from_libmtl({"seg": seg_entry()}, primary={"seg": "iou"})
    with pytest.raises(ContractError, match="task_dict is LibMTL's dict"):
        tasks_from_libmtl({})


def test_scores_of_another_number_than_names_are_told() -> None:
    scores = LibMTLScores(SegScores(3), ("mIoU",))
    scores.update(batches()[0][0]["segmentation"], batches()[0][1]["segmentation"])
    with pytest.raises(MeasureError, match=r"SegScores\.score_fun gave 2 numbers for 1 metrics \(mIoU\)"):
        scores.compute()


def test_records_of_several_processes_are_not_taken_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = LibMTLScores(DepthScores(), ("abs_err",))
    outputs, targets = batches()[0]
    scores.update(outputs["depth"], targets["depth"])
    scores.distributed_available_fn = lambda: True
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    scores.sync = lambda **_: None  # type: ignore[method-assign]  # there is nobody to gather from
    with pytest.raises(MeasureError, match="DepthScores keeps its records in one process"):
        scores.compute()
