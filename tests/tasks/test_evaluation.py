"""Evaluation: two protocols, missing labels, and several processes."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError, Metric
from torchmetrics.classification import MulticlassJaccardIndex, MulticlassRecall

from niwaki.errors import ContractError, MeasureError, SettingError
from niwaki.tasks import PROTOCOLS, Depth, Evaluation, Protocol, Reading, Regression, Segmentation, SurfaceNormals, Task

TASKS = (Segmentation(4), Depth(), SurfaceNormals(), Regression(name="age"))


def batches(number: int = 5) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    draw = torch.Generator().manual_seed(0)
    made = []
    for at in range(number):
        size = 1 + at % 3
        outputs = {
            "segmentation": torch.randn(size, 4, 5, 5, generator=draw),
            "depth": torch.rand(size, 1, 5, 5, generator=draw) + 0.1,
            "normals": torch.randn(size, 3, 5, 5, generator=draw),
            "age": torch.randn(size, generator=draw),
        }
        targets = {
            "segmentation": torch.randint(-1, 4, (size, 5, 5), generator=draw),
            "depth": torch.rand(size, 1, 5, 5, generator=draw) - 0.2,
            "normals": torch.randn(size, 3, 5, 5, generator=draw),
        }
        if at % 2:
            targets["age"] = torch.randn(size, generator=draw)
        made.append((outputs, targets))
    return made


def measured(
    protocol: Protocol, given: list[tuple[dict[str, Tensor], dict[str, Tensor]]]
) -> dict[str, dict[str, float]]:
    evaluation = Evaluation(TASKS, protocol=protocol)
    for outputs, targets in given:
        evaluation.update(outputs, targets)
    return evaluation.compute()


def test_mtan_is_the_mean_of_the_batches_pixel_values() -> None:
    given = batches()
    single = [measured("pixel", [each]) if "age" in each[1] else None for each in given]
    found = measured("mtan", given)
    alone = Evaluation(TASKS[:3])
    values: dict[str, list[dict[str, float]]] = {}
    for outputs, targets in given:
        alone.reset()
        alone.update(outputs, targets)
        for task, scores in alone.compute().items():
            values.setdefault(task, []).append(scores)
    values["age"] = [each["age"] for each in single if each is not None]
    for task, rows in values.items():
        for metric in rows[0]:
            mean = sum(each[metric] for each in rows) / len(rows)
            assert found[task][metric] == pytest.approx(mean, rel=1e-6), (task, metric)


def test_the_protocols_differ_on_unequal_batches() -> None:
    pixel, mtan = (measured(protocol, batches()) for protocol in ("pixel", "mtan"))
    assert pixel["depth"]["abs"] != pytest.approx(mtan["depth"]["abs"], rel=1e-6)
    assert pixel["segmentation"]["miou"] != pytest.approx(mtan["segmentation"]["miou"], rel=1e-6)


def test_compute_may_be_asked_midway_and_reset_forgets() -> None:
    given = batches(4)
    for protocol in ("pixel", "mtan"):
        evaluation = Evaluation(TASKS, protocol=protocol)
        evaluation.update(*given[1])
        assert evaluation.compute() == measured(protocol, given[1:2])
        evaluation.update(*given[2])
        assert evaluation.compute() == measured(protocol, given[1:3])
        evaluation.reset()
        evaluation.update(*given[3])
        assert evaluation.compute() == measured(protocol, given[3:])


def test_a_task_never_labelled_is_an_error_that_names_it() -> None:
    evaluation = Evaluation(TASKS)
    evaluation.update(*batches(1)[0])
    with pytest.raises(MeasureError, match="no label was seen for age: there is nothing to measure"):
        evaluation.compute()


def test_what_came_instead_of_labels_is_told() -> None:
    evaluation = Evaluation([Regression(name="semantic")])
    outputs = {"semantic": torch.ones(2), "depth": torch.ones(2)}
    evaluation.update(outputs, {"seg": torch.ones(2), "dense": torch.ones(2)})
    with pytest.raises(
        MeasureError, match="no label was seen for semantic: .*targets: dense, seg; outputs: depth, sem"
    ):
        evaluation.compute()
    evaluation.reset()
    with pytest.raises(MeasureError, match="no label was seen for semantic: .*targets: none; outputs: none"):
        evaluation.compute()


def test_users_metrics_are_taken_as_they_are_and_their_own_objects_left_alone() -> None:
    iou, recall = MulticlassJaccardIndex(4, ignore_index=-1), MulticlassRecall(4, average=None, ignore_index=-1)
    task = Task(
        "kind",
        loss=torch.nn.functional.cross_entropy,
        metrics={"iou": iou, "recall2": Reading(recall, "higher", key=2), "recall3": Reading(recall, "higher", key=3)},
        primary="iou",
    )
    draw = torch.Generator().manual_seed(0)
    pred, target = torch.randn(6, 4, 5, 5, generator=draw), torch.randint(-1, 4, (6, 5, 5), generator=draw)
    evaluation = Evaluation([task])
    evaluation.update({"kind": pred[:4]}, {"kind": target[:4]})
    evaluation.update({"kind": pred[4:]}, {"kind": target[4:]})
    found = evaluation.compute()["kind"]
    fresh = MulticlassRecall(4, average=None, ignore_index=-1)(pred, target)
    assert found["recall2"] == pytest.approx(float(fresh[2]))
    assert found["recall3"] == pytest.approx(float(fresh[3]))
    assert found["iou"] == pytest.approx(float(MulticlassJaccardIndex(4, ignore_index=-1)(pred, target)))
    assert not iou.update_called
    assert not recall.update_called


def test_one_metric_read_twice_is_updated_once() -> None:
    class CountingError(MeanAbsoluteError):
        calls = 0

        def update(self, preds: Tensor, target: Tensor) -> None:
            type(self).calls += 1
            super().update(preds, target)

    metric: Metric = CountingError()
    readings = {"mae": Reading(metric, "lower"), "mae_cm": Reading(metric, "lower", "cm", scale=100)}
    task = Task("far", loss=torch.nn.functional.l1_loss, metrics=readings, primary="mae")
    evaluation = Evaluation([task])
    evaluation.update({"far": torch.tensor([1.0])}, {"far": torch.tensor([1.5])})
    assert evaluation.compute() == {"far": {"mae": 0.5, "mae_cm": 50.0}}
    assert CountingError.calls == 1


def test_pictures_of_double_precision_and_graphs_are_measured_too() -> None:
    pred = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    evaluation = Evaluation([Depth()])
    evaluation.update({"depth": pred * 2}, {"depth": torch.ones(1, 1, 2, 2)})
    assert evaluation.compute()["depth"]["abs"] == 1.0


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(SettingError, match="protocol is one of pixel, mtan; got 'mean'"):
        Evaluation(TASKS, protocol="mean")  # type: ignore[arg-type]  # wrong on purpose


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ContractError, match="two tasks are named 'depth'"):
        Evaluation([Depth(), Depth()])


PROCESS = """
import sys, torch
from niwaki.tasks import Depth, Evaluation, Regression, Segmentation, SurfaceNormals
torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
found = []
for protocol in ("pixel", "mtan"):
    evaluation = Evaluation([Segmentation(4), Depth(), SurfaceNormals(), Regression(name="age")], protocol=protocol)
    for at, (outputs, targets) in enumerate(torch.load(f"{folder}/batches")):
        if rank == (0 if at in (0, 2) else 1):  # the first process never sees a label of age
            evaluation.update(outputs, targets)
    found.append(evaluation.compute())
torch.save(found, f"{folder}/found{rank}")
torch.distributed.destroy_process_group()
"""


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    given = batches()
    torch.save(given, tmp_path / "batches")
    command = [sys.executable, "-W", "error:The ``compute`` method", "-c", PROCESS]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    for rank in range(2):
        found = torch.load(tmp_path / f"found{rank}")
        for protocol, quality in zip(PROTOCOLS, found, strict=True):
            expected = measured(protocol, given)
            for task, scores in expected.items():
                assert quality[task] == pytest.approx(scores, rel=1e-9), (protocol, task)
                assert not any(math.isnan(value) for value in scores.values())
