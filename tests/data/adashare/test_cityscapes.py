"""Cityscapes as AdaShare lists it: inverse depth, and labels of three kinds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.adashare.writing import Array, cityscapes

from niwaki.data import AdaShareCityscapesData, Augment, check_data
from niwaki.data.kinds import kinds_of
from niwaki.errors import SettingError
from niwaki.tasks import Evaluation, build_tasks


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, dict[str, Array]]]:
    return tmp_path, cityscapes(tmp_path, {"train": 4, "val": 2, "test": 2})


@pytest.mark.parametrize("classes", [2, 7, 19])
def test_values_come_through_as_written(written: tuple[Path, dict[str, dict[str, Array]]], classes: int) -> None:
    root, truth = written
    splits = AdaShareCityscapesData(root=root, classes=classes, augment=None).open()
    assert splits.test is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (4, 2, 2)
    assert "validation: the 2 frames of val" in splits.notes
    image, targets = splits.test[1]
    true = truth["test/image/1.npy"]
    assert (image.permute(1, 2, 0).numpy() == true["image"]).all()
    assert (targets["segmentation"].numpy() == true[f"label{classes}"]).all()
    assert (targets["depth"][0].numpy() == true["depth"][..., 0]).all()
    assert splits.tasks[0] == {"kind": "segmentation", "classes": classes}


def test_nearly_no_disparity_is_no_label(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, truth = written
    splits = AdaShareCityscapesData(root=root, augment=None).open()
    assert splits.test is not None
    _, targets = splits.test[0]
    task = build_tasks(splits.tasks)[1]
    evaluation = Evaluation([task])
    evaluation.update({"depth": targets["depth"][None] + 0.01}, {"depth": targets["depth"][None]})
    scores = evaluation.compute()["depth"]
    true = truth["test/image/0.npy"]["depth"].ravel().astype(np.float64)
    known = true[true > 3e-5]
    assert len(known) == len(true) - 2
    assert scores["abs"] == pytest.approx(0.01, rel=1e-4)
    assert scores["rel"] == pytest.approx(np.mean(0.01 / known), rel=1e-4)
    assert task.units["abs"] == ""
    assert check_data(AdaShareCityscapesData(root=root)).splits[2].labelled["depth"] == pytest.approx(1 - 2 / 192)


def test_zooming_in_makes_disparity_larger(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, _ = written
    plain = AdaShareCityscapesData(root=root, augment=None).open()
    nearer = AdaShareCityscapesData(root=root, augment=Augment(scales=(1.5,), mirror=0.0)).open()
    before, after = plain.train[0][1]["depth"], nearer.train[0][1]["depth"]
    assert torch.isin(after, before * 1.5).all()
    assert kinds_of(plain.tasks)["depth"] == "inverse_depth"


def test_only_known_labels_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="classes: input should be 2, 7 or 19; got 8"):
        AdaShareCityscapesData(root=tmp_path, classes=8)
