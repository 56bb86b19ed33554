"""Cityscapes in the MTAN tree: labels by folder, inverse depth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from niwaki.data import Augment, CityscapesData, check_data, datasets
from niwaki.data.frames import CITYSCAPES_CLASSES
from niwaki.errors import DataError, SettingError
from niwaki.tasks import Evaluation, build_tasks

H, W = 8, 16
Truth = dict[tuple[str, int], dict[str, Any]]


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Truth]:
    """Write what MTAN's and LibMTL's loaders read: `image` and `depth` with channels last, labels without."""
    rng, truth = np.random.default_rng(0), {}
    for split, count in (("train", 5), ("val", 2)):
        for number in range(count):
            depth = rng.uniform(0.002, 0.4922, (H, W, 1))
            depth[0, 0], depth[0, 1] = 0, 1e-7
            arrays: dict[str, Any] = {
                "image": rng.random((H, W, 3)),
                "depth": depth,
                "label_7": rng.integers(-1, 7, (H, W)),
                "label_19": rng.integers(-1, 19, (H, W)),
                "label": rng.integers(-1, 7, (H, W)),
                "label_2": rng.integers(-1, 2, (H, W)),
            }
            for folder, array in arrays.items():
                (tmp_path / split / folder).mkdir(parents=True, exist_ok=True)
                stored = array.astype(np.float32) if folder in ("image", "depth") else array.astype(np.float64)
                np.save(tmp_path / split / folder / f"{number}.npy", stored)
                arrays[folder] = stored
            truth[split, number] = arrays
    return tmp_path, truth


@pytest.mark.parametrize(("labels", "classes"), [("label_7", 7), ("label_19", 19), ("label", 7), ("label_2", 2)])
def test_labels_are_those_of_the_folder(written: tuple[Path, Truth], labels: str, classes: int) -> None:
    root, truth = written
    splits = CityscapesData(root=root, labels=labels, val=1, augment=None).open()
    assert splits.test is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (4, 1, 2)
    image, targets = splits.test[1]
    true = truth["val", 1]
    assert (image.permute(1, 2, 0).numpy() == true["image"]).all()
    assert (targets["segmentation"].numpy() == true[labels]).all()
    assert (targets["depth"].permute(1, 2, 0).numpy() == true["depth"]).all()
    assert splits.tasks == (
        {"kind": "segmentation", "classes": classes},
        {"kind": "depth", "unit": "", "scale": "inverse"},
    )
    assert splits.classes == ({} if classes == 2 else {"segmentation": CITYSCAPES_CLASSES[classes]})


def test_a_folder_label_may_hold_other_classes(written: tuple[Path, Truth]) -> None:
    splits = CityscapesData(root=written[0], labels="label", classes=19).open()
    assert splits.tasks[0]["classes"] == 19


def test_errors_are_taken_of_every_disparity_that_is_not_zero(written: tuple[Path, Truth]) -> None:
    root, truth = written
    splits = CityscapesData(root=root, augment=None).open()
    assert splits.test is not None
    _, targets = splits.test[0]
    evaluation = Evaluation([build_tasks(splits.tasks)[1]])
    evaluation.update({"depth": targets["depth"][None] + 0.01}, {"depth": targets["depth"][None]})
    scores = evaluation.compute()["depth"]
    true = truth["val", 0]["depth"].ravel().astype(np.float64)
    known = true[true != 0]
    assert scores["abs"] == pytest.approx(0.01, rel=1e-4)
    assert scores["rel"] == pytest.approx(np.mean(0.01 / known), rel=1e-3)
    assert scores["rel"] > 100  # one disparity of 1e-7: published tables have such errors


def test_zooming_in_makes_disparity_larger(written: tuple[Path, Truth]) -> None:
    root, _ = written
    plain = CityscapesData(root=root, augment=None).open().train[2][1]
    nearer = CityscapesData(root=root, augment=Augment(scales=(1.2,), mirror=1.0)).open().train[2][1]
    assert torch.isin(nearer["depth"], plain["depth"] * 1.2).all()
    assert torch.isin(nearer["segmentation"], plain["segmentation"]).all()


def test_a_tree_of_another_layout_is_named_by_folder(written: tuple[Path, Truth]) -> None:
    root, _ = written
    for split in ("train", "val"):
        (root / split / "label_7").rename(root / split / "labels")
    with pytest.raises(DataError, match=r"train.label_7: found no such folder; expected a folder of label_7 files"):
        CityscapesData(root=root).open()
    assert len(check_data(CityscapesData(root=root)).problems) == 2
    assert check_data(CityscapesData(root=root, labels="label_19")).problems == ()


def test_the_wrong_labels_are_noticed(written: tuple[Path, Truth]) -> None:
    with pytest.raises(DataError, match=r"found the labels 7, 8, 9 and \d+ more; expected whole numbers from 0 to 6"):
        CityscapesData(root=written[0], labels="label_19", classes=7).open()


def test_the_table_tells_what_is_there(written: tuple[Path, Truth]) -> None:
    findings = check_data(CityscapesData(root=written[0]))
    assert [row[:2] for row in findings.rows] == [("train", "8x16"), ("", ""), ("test", "8x16"), ("", "")]
    assert findings.rows[0][3].startswith("7 of 7 classes: ")
    assert findings.splits[0].ranges["depth"][1] < 0.4922
    assert any("scaled disparity" in note for note in findings.notes)


def test_settings_are_checked_and_read_back(tmp_path: Path) -> None:
    settings = CityscapesData(root=tmp_path, labels="label_19", tasks=("depth",), size=(8, 8))
    assert datasets.get("cityscapes")(**settings.model_dump(mode="json")) == settings
    with pytest.raises(SettingError, match="labels: input should be"):
        CityscapesData(root=tmp_path, labels="label_8")
