"""NYUv2 as AdaShare lists it: values, directions, and the undecoded reading of published tables."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.adashare.writing import Array, nyuv2, write_list

from niwaki.data import AdaShareNYUv2Data, Augment, Augmented, check_data, datasets
from niwaki.data.adashare.nyuv2 import NYUV2_CLASSES, camera_normals
from niwaki.tasks import Evaluation, SurfaceNormals, build_tasks, decode_normals, task_losses
from niwaki.tasks.normals import angles
from niwaki.train.collate import collate


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, dict[str, Array]]]:
    return tmp_path, nyuv2(tmp_path, {"train": 6, "train1": 2, "train2": 2, "test": 3})


def test_values_come_through_as_written(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, truth = written
    splits = AdaShareNYUv2Data(root=root, val=2, augment=None).open()
    assert splits.test is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (4, 2, 3)
    image, targets = splits.test[1]
    true = truth["test0001"]
    assert list(targets) == ["segmentation", "normals", "depth"]
    assert (image.permute(1, 2, 0).numpy() == true["image"].astype(np.float32) / 255).all()
    labels = targets["segmentation"].numpy()
    assert labels.dtype == np.int64
    assert labels[1, 2] == -1
    assert ((labels == true["seg"]) | (true["seg"] == 255)).all()
    assert (targets["depth"][0].numpy() == true["depth"]).all()
    normals = targets["normals"].permute(1, 2, 0).numpy()
    assert (normals[0, 0] == 0).all()
    error = np.abs(normals - true["normal"])
    error[0, 0] = 0
    assert error.max() < 0.01
    assert np.abs(np.linalg.norm(normals, axis=-1)[1:] - 1).max() < 1e-6


def test_its_tasks_fit_its_targets(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    splits = AdaShareNYUv2Data(root=written[0], augment=None).open()
    tasks = build_tasks(splits.tasks)
    _, targets = splits.train[0]
    batch = {name: target[None] for name, target in targets.items()}
    answers = {"segmentation": torch.zeros(1, 40, 12, 16), "normals": batch["normals"], "depth": batch["depth"] + 1}
    losses = task_losses(tasks, answers, batch)
    assert float(losses["segmentation"]) == pytest.approx(np.log(40), rel=1e-5)
    assert float(losses["normals"]) == pytest.approx(0, abs=1e-6)
    assert float(losses["depth"]) == pytest.approx(1)
    assert splits.classes["segmentation"] == NYUV2_CLASSES
    assert len(set(NYUV2_CLASSES)) == 40


def test_a_sample_may_lack_labels(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, _ = written
    row = ["img/train0000.png", "seg/train0000.png", "normal_mask/train0000.png", "depth/train0000.npy"]
    bare = ["img/train0001.png", None, "", "depth/train0001.npy"]
    write_list(root / "nyu_v2_3task.json", {"train": [row, bare], "test": [["img/test0000.png", None, None, None]]})
    splits = AdaShareNYUv2Data(root=root, val=1, augment=None).open()
    assert splits.test is not None
    both = [list(each[0][1]) for each in (splits.train, splits.val)]
    assert sorted(both, key=len) == [["depth"], ["segmentation", "normals", "depth"]]
    assert splits.test[0][1] == {}
    assert "1 of 2 samples of train have no seg" in splits.notes
    assert not any("seg" in note for note in AdaShareNYUv2Data(root=root, tasks=["depth"], val=1).open().notes)
    train, test = check_data(AdaShareNYUv2Data(root=root)).splits
    assert train.labelled["segmentation"] == pytest.approx((12 * 16 - 1) / (2 * 12 * 16))
    assert train.labelled["depth"] == pytest.approx(1 - 1 / (12 * 16))
    assert set(test.labelled.values()) == {0}


def test_a_batch_of_which_one_sample_lacks_labels_is_measured_by_the_other(
    written: tuple[Path, dict[str, dict[str, Array]]],
) -> None:
    root, truth = written
    full = ["img/train0000.png", "seg/train0000.png", "normal_mask/train0000.png", "depth/train0000.npy"]
    bare = ["img/train0001.png", None, None, "depth/train0001.npy"]
    write_list(root / "nyu_v2_3task.json", {"train": [bare, full], "val": [["img/test0000.png", None, None, None]]})
    splits = AdaShareNYUv2Data(root=root, augment=None).open()
    tasks = build_tasks(splits.tasks)
    image, targets = collate([splits.train[0], splits.train[1]], tasks)
    answers = {"segmentation": torch.zeros(2, 40, 12, 16), "depth": torch.zeros(2, 1, 12, 16)}
    answers["normals"] = torch.tensor([0.0, 0.0, -1.0])[None, :, None, None].expand(2, 3, 12, 16)
    losses = task_losses(tasks, answers, targets)
    depth = np.concatenate([truth[name]["depth"][truth[name]["depth"] > 0] for name in ("train0000", "train0001")])
    cosines = -splits.train[1][1]["normals"][2].flatten()[1:]
    assert image.shape == (2, 3, 12, 16)
    assert float(losses["depth"]) == pytest.approx(float(depth.mean()), rel=1e-5)
    assert float(losses["normals"]) == pytest.approx(float(1 - cosines.mean()), rel=1e-5)
    assert float(losses["segmentation"]) == pytest.approx(np.log(40), rel=1e-5)


def test_some_tasks_need_only_their_files(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, _ = written
    shutil.rmtree(root / "depth")
    splits = AdaShareNYUv2Data(root=root, tasks=("segmentation", "normals"), augment=None).open()
    assert list(splits.train[0][1]) == ["segmentation", "normals"]
    assert [task["kind"] for task in splits.tasks] == ["segmentation", "normals"]


def test_training_moves_directions_with_the_picture(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    plain = AdaShareNYUv2Data(root=written[0], augment=None).open().train[0][1]["normals"]
    train = AdaShareNYUv2Data(root=written[0], augment=Augment(scales=(1.0,), mirror=1.0)).open().train
    assert isinstance(train, Augmented)
    assert torch.equal(train[0][1]["normals"], plain.flip(-1) * torch.tensor([-1.0, 1, 1])[:, None, None])
    again = AdaShareNYUv2Data(root=written[0]).open().train
    assert torch.equal(again[7][0], AdaShareNYUv2Data(root=written[0]).open().train[7][0])


def test_the_legacy_reading_is_asked_for_and_said(written: tuple[Path, dict[str, dict[str, Array]]]) -> None:
    root, truth = written
    how = AdaShareNYUv2Data(root=root, legacy_adashare=True, augment=Augment(scales=(1.0,), mirror=1.0))
    splits = how.open()
    assert splits.test is not None
    coded = truth["test0000"]["bytes"].astype(np.float32) / 255
    coded[(truth["test0000"]["bytes"] == 255).any(-1)] = 0
    assert np.allclose(splits.test[0][1]["normals"].permute(1, 2, 0).numpy(), coded)
    assert any("legacy_adashare: normals are read undecoded" in note for note in splits.notes)
    assert not AdaShareNYUv2Data(root=root).legacy_adashare
    assert not any("legacy" in note for note in AdaShareNYUv2Data(root=root).open().notes)
    plain = AdaShareNYUv2Data(root=root, legacy_adashare=True, augment=None).open().train[0][1]["normals"]
    assert torch.equal(splits.train[0][1]["normals"], plain.flip(-1))  # as theirs: no sign is changed


def test_settings_read_back_from_plain_data(tmp_path: Path) -> None:
    settings = AdaShareNYUv2Data(root=tmp_path, tasks=("normals",), legacy_adashare=True, size=(8, 8))
    assert datasets.get("nyuv2_adashare")(**settings.model_dump(mode="json")) == settings


# Real frames: what the files hold was read off them.


@pytest.fixture
def real(shared_data: Path, tmp_path: Path) -> Path:
    folder = shared_data / "nyuv2_samples" / "adashare"
    if not folder.is_dir():
        pytest.skip("the real frames of AdaShare are not beside the project")
    for kind in ("img", "seg", "normal_mask", "depth"):
        (tmp_path / kind).symlink_to(folder / kind)
    rows = [[f"img/{n}.png", f"seg/{n}.png", f"normal_mask/{n}.png", f"depth/{n}.npy"] for n in _REAL]
    write_list(tmp_path / "nyu_v2_3task.json", {"train": rows[:2], "test": rows[2:]})
    return tmp_path


_REAL = ("0061", "0295", "0774", "1314")


def test_real_frames_are_read(real: Path) -> None:
    findings = check_data(AdaShareNYUv2Data(root=real))
    assert [(each.samples, each.size) for each in findings.splits] == [(2, (480, 640))] * 2
    test = findings.splits[1]
    assert test.histograms["segmentation"]["floor"] > 0.15
    assert 0.6 < test.labelled["normals"] < 0.8
    assert test.ranges["depth"] == pytest.approx((0.7137, 6.5228), abs=1e-4)


def test_directions_of_real_frames_are_those_of_their_depth(real: Path) -> None:
    splits = AdaShareNYUv2Data(root=real, augment=None).open()
    assert splits.test is not None
    _, targets = splits.test[0]
    depth = targets["depth"][0].double()
    y, x = torch.meshgrid(torch.arange(480.0) - 253.7, torch.arange(640.0) - 325.6, indexing="ij")
    points = torch.stack([x / 518.9 * depth, y / 519.5 * depth, depth])  # NYUv2's camera
    across, down = points[:, 4:-4, 8:] - points[:, 4:-4, :-8], points[:, 8:, 4:-4] - points[:, :-8, 4:-4]
    slopes = torch.linalg.cross(down, across, dim=0)
    true = targets["normals"][:, 4:-4, 4:-4].double()
    known = (true.norm(dim=0) > 0) & (slopes.norm(dim=0) > 0)
    assert float(angles(slopes[:, known].T, true[:, known].T).median()) < 15


def best_constant_angle(normals: torch.Tensor) -> float:
    known = normals[:, normals.norm(dim=0) > 0]
    mean = torch.nn.functional.normalize(known, dim=0).mean(1)
    evaluation = Evaluation([SurfaceNormals()])
    evaluation.update(mean[None, :, None, None].expand(1, 3, *normals.shape[1:]), normals[None])
    return evaluation.compute()["normals"]["mean"]


def test_undecoded_a_constant_prediction_scores_14_to_23_degrees(real: Path) -> None:
    scores = {}
    for legacy in (False, True):
        splits = AdaShareNYUv2Data(root=real, legacy_adashare=legacy, augment=None, val=1).open()
        assert splits.test is not None
        frames = (splits.train[0], splits.val[0], splits.test[0], splits.test[1])
        scores[legacy] = [best_constant_angle(targets["normals"]) for _, targets in frames]
    assert sorted(scores[True]) == pytest.approx([14.18, 14.94, 19.63, 23.34], abs=0.02)
    assert min(scores[False]) > 35


def test_white_grey_and_black_are_no_direction() -> None:
    colours = np.array([[[255, 255, 255], [127, 127, 127], [128, 128, 128], [0, 0, 0]]], np.uint8)
    assert (camera_normals(colours) == 0).all()
    assert (decode_normals(colours, legacy_adashare=True)[0, 0] == 0).all()
