"""Tiny-Taskonomy as AdaShare lists it, against the formulas of its published tables."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.adashare.writing import Array, taskonomy, write

from niwaki.data import Augment, TaskonomyData, check_data
from niwaki.data.adashare.taskonomy import TASKONOMY_CLASSES
from niwaki.errors import DataError
from niwaki.tasks import build_tasks, task_losses

SIZE = {"size": None}


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, dict[str, Array]]]:
    return tmp_path, taskonomy(tmp_path, {"train": 4, "test": 1, "test_small": 2})


def loop(numbers: Array, strongest: float) -> list[float]:
    shares = [min(max(number / 2**16 / strongest, 0.0), 1.0) for number in numbers.ravel().tolist()]
    return [share * 2 - 1 for share in shares]


def test_values_follow_the_formulas(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, truth = written
    splits = TaskonomyData(root=root, augment=None, **SIZE).open()
    assert splits.test is not None
    _, targets = splits.test[0]
    true = truth["test/ackermanville/image/point_0_view_0_image.png"]
    assert list(targets) == ["segmentation", "normals", "depth", "keypoint", "edge"]
    assert targets["segmentation"].tolist() == (true["seg"].astype(int) - 1).tolist()  # 0, uncertain, becomes -1
    assert targets["keypoint"].flatten().tolist() == pytest.approx(loop(true["keypoint"], 0.005), abs=1e-5)
    assert targets["edge"].flatten().tolist() == pytest.approx(loop(true["edge"], 0.08), abs=1e-5)
    logs = [math.log(1 + d) / math.log(2**16) if d < 64500 else 0.0 for d in true["depth"].ravel().tolist()]
    assert targets["depth"].flatten().tolist() == pytest.approx(logs, abs=1e-6)
    assert [targets["depth"][0, i, i].item() for i in (0, 1)] == [0, 0]
    normals = targets["normals"].permute(1, 2, 0).numpy()
    assert (normals[0, 0] == 0).all()
    assert np.abs(normals - true["directions"])[1:].max() < 0.01


def test_depth_may_be_in_metres(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, truth = written
    settings = TaskonomyData(root=root, depth="metres", augment=Augment(scales=(1.5,), mirror=0.0), **SIZE)
    splits = settings.open()
    assert splits.test is not None
    true = truth["test/ackermanville/image/point_0_view_0_image.png"]["depth"].astype(np.float64)
    expected = np.where(true < 64500, true / 512, 0)
    assert np.abs(splits.test[0][1]["depth"][0].numpy() - expected).max() < 1e-5
    assert splits.tasks[2] == {"kind": "depth"}
    assert check_data(settings).splits[0].ranges["depth"][0] > 0.5


def test_log_depth_comes_nearer_as_metres_do(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, _ = written
    augment = Augment(scales=(1.5,))
    log, metres = (
        TaskonomyData(root=root, depth=scale, augment=augment, **SIZE).open().train[5][1]["depth"].double()
        for scale in ("log", "metres")
    )
    assert torch.allclose(log, (1 + metres * 512).log() / math.log(2**16), atol=1e-6)


def test_a_data_set_travels_to_other_processes(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    train = TaskonomyData(root=written[0]).open().train
    there, here = pickle.loads(pickle.dumps(train))[6], train[6]
    assert torch.equal(there[0], here[0])
    assert all(torch.equal(there[1][name], here[1][name]) for name in here[1])


def test_maps_of_8_bits_are_refused(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, _ = written
    write(root / "test/ackermanville/edge/point_0_view_0_edge.png", np.zeros((12, 16), np.uint8))
    with pytest.raises(DataError, match=r"0_edge\.png: found dtype uint8; expected 16-bit numbers"):
        TaskonomyData(root=root).open()


def test_its_tasks_fit_its_targets(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    splits = TaskonomyData(root=written[0]).open()
    tasks = build_tasks(splits.tasks)
    image, targets = splits.train[0]
    assert image.shape == (3, 256, 256)
    batch = {name: target[None] for name, target in targets.items()}
    answers = {**{name: target + 0.25 for name, target in batch.items()}, "segmentation": torch.zeros(1, 17, 256, 256)}
    losses = task_losses(tasks, answers, batch)
    assert [float(losses[name]) for name in ("depth", "keypoint", "edge")] == pytest.approx([0.25] * 3, abs=1e-5)
    assert float(losses["segmentation"]) == pytest.approx(math.log(17), rel=1e-5)
    assert len(TASKONOMY_CLASSES) == 17
    for task in tasks:
        picture = task.draw(targets[task.name], targets[task.name])
        assert picture is not None
        assert picture.shape == (256, 256, 3)


def test_another_list_may_be_the_test_split(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    splits = TaskonomyData(root=written[0], test="test_small").open()
    assert splits.test is not None
    assert len(splits.test) == 2
    assert len(splits.train) == 3  # the test split never picks the epoch: validation is carved from train
