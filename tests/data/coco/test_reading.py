"""A clean set: pixels, masks, centres and keypoints as written, in one frame, whatever happens to it."""

import math
from pathlib import Path

import pytest
import torch
from tests.data.coco.making import CATEGORIES, KEYPOINTS, SPLITS, Made

from niwaki.data import Augment, CocoData, check_data, datasets
from niwaki.data.coco.heat import Drawn
from niwaki.errors import SettingError
from niwaki.recipes import parse_recipe
from niwaki.recipes.workplace import open_workplace
from niwaki.tasks import Evaluation, build_tasks, task_losses
from niwaki.train import Silent
from niwaki.train.collate import collate

pytest.importorskip("pycocotools")

CLASSES = ("background", *(each["name"] for each in CATEGORIES))
PERSON, DOG, BOTTLE = 1, 2, 3


def test_samples_hold_what_was_written(made: Made) -> None:
    splits = CocoData(root=made.root, size=(64, 64), val=2, augment=None).open()
    assert splits.test is not None
    assert [len(each) for each in (splits.train, splits.val, splits.test)] == [6, 2, 3]
    image, targets = splits.test[1]  # picture 2, 32 x 32, twice as large
    pixels = torch.from_numpy(made.pixels["val2017", 2]).permute(2, 0, 1).float() / 255
    assert torch.allclose(torch.nn.functional.avg_pool2d(image, 2).mean((1, 2)), pixels.mean((1, 2)), atol=1e-2)
    labels = torch.zeros(32, 32, dtype=torch.int64)
    labels[4:12, 2:10], labels[10:16, 14:20], labels[16:24, 8:16] = DOG, BOTTLE, PERSON
    assert torch.equal(targets["segmentation"], labels.repeat_interleave(2, 0).repeat_interleave(2, 1))
    peaks = [tuple(each) for each in (targets["centres"] == 1).nonzero().tolist()]
    assert peaks == [(0, 40, 24), (1, 16, 12), (2, 26, 34)]  # middles of the boxes, rows before columns
    peaks = [tuple(each) for each in (targets["keypoints"] == 1).nonzero().tolist()]
    assert peaks == [(0, 35, 23), (1, 37, 19)]  # a keypoint is the middle of its pixel; v = 0 is none
    assert splits.classes == {"segmentation": CLASSES, "centres": CLASSES[1:], "keypoints": KEYPOINTS}


def test_a_picture_of_another_shape_lies_in_the_middle_of_its_frame(made: Made) -> None:
    splits = CocoData(root=made.root, size=(60, 60), augment=None).open()
    assert splits.test is not None
    image, targets = splits.test[0]  # picture 1, 60 x 40
    pixels = torch.from_numpy(made.pixels["val2017", 1]).permute(2, 0, 1).float() / 255
    assert torch.equal(image[:, :, 10:50], pixels)
    border = torch.ones(60, 60, dtype=torch.bool)
    border[:, 10:50] = False
    assert (image[:, border] == 0).all()
    assert ((targets["segmentation"] == -1) == border).all()
    assert (targets["centres"].isnan() == border).all()
    assert (targets["keypoints"].isnan() == border).all()
    assert (targets["centres"] == 1).nonzero().tolist() == [[0, 20, 22], [1, 8, 16], [2, 13, 27]]


def test_heat_may_have_fewer_cells_than_the_frame(made: Made) -> None:
    fine, coarse = (CocoData(root=made.root, size=(64, 64), stride=s, augment=None).open() for s in (1, 4))
    for (_, one), (_, other) in zip(map(fine.val.__getitem__, [0]), map(coarse.val.__getitem__, [0]), strict=True):
        assert other["centres"].shape == (3, 16, 16)
        assert other["segmentation"].shape == (64, 64)
        small = (other["centres"] == 1).nonzero().tolist()
        assert small == [[kind, y // 4, x // 4] for kind, y, x in (one["centres"] == 1).nonzero().tolist()]
    assert [task.get("radius") for task in CocoData(root=made.root, size=(256, 320), stride=4).open().tasks] == [
        None,
        1,
        1,
    ]


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_mirror_swaps_sides_of_everything_alike(made: Made, index: int) -> None:
    plain = CocoData(root=made.root, size=(60, 60), augment=None).open().train
    turned = CocoData(root=made.root, size=(60, 60), augment=Augment(scales=(1.0,), mirror=1.0)).open().train
    assert isinstance(turned, Drawn)
    assert turned.epoch_indexed
    (image, one), (other, two) = plain[index], turned[index]
    assert torch.equal(image.flip(-1), other)
    assert torch.equal(one["segmentation"].flip(-1), two["segmentation"])
    swapped = one["keypoints"][[0, 2, 1]].flip(-1)  # the left eye is a right one in the mirror
    assert torch.equal(swapped.isnan(), two["keypoints"].isnan())
    before, after = (each.nan_to_num().flatten(1).max(1).values for each in (swapped, two["keypoints"]))
    assert torch.equal(before, after)
    assert two["keypoints"][1].nan_to_num().max() == 0  # no left eye is left


def test_a_crop_moves_points_with_their_pixels(made: Made) -> None:
    """The dog's box is drawn into the labels: its middle there is where its centre must be."""
    splits = CocoData(root=made.root, size=(60, 60), augment=Augment(scales=(1.5,), mirror=0.5)).open()
    seen = 0
    for epoch in range(6):
        for index in range(len(splits.train)):
            image, targets = splits.train[epoch * len(splits.train) + index]
            assert image.shape == (3, 60, 60)
            rows, columns = (targets["segmentation"] == DOG).nonzero().T
            inside = len(rows) > 0 and min(rows.min(), columns.min()) > 0 and max(rows.max(), columns.max()) < 59
            if inside:
                ((row, column),) = (targets["centres"][DOG - 1] == 1).nonzero().tolist()
                assert abs(row - (rows.min() + rows.max()) / 2) <= 1.5  # two nearest pixels, and a cell
                assert abs(column - (columns.min() + columns.max()) / 2) <= 1.5
                seen += 1
    assert seen > 5


def test_stuff_and_panoptic_pictures_label_pixels_too(made: Made) -> None:
    made.add_stuff()
    made.add_panoptic()
    stuff = CocoData(root=made.root, labels="stuff", tasks=("segmentation",), size=(32, 32), augment=None).open()
    assert stuff.test is not None
    assert stuff.classes == {"segmentation": ("grass", "sky")}
    labels = stuff.test[1][1]["segmentation"]  # picture 2, 32 x 32
    assert (labels[:16] == 1).all()
    assert (labels[16:] == 0).all()
    assert stuff.test[2][1] == {}  # nothing was annotated there, and nothing is background
    panoptic = CocoData(root=made.root, labels="panoptic", tasks=("segmentation",), size=(32, 32), augment=None).open()
    assert panoptic.test is not None
    assert panoptic.classes["segmentation"] == ("person", "dog", "bottle", "grass", "sky")
    labels = panoptic.test[1][1]["segmentation"]
    assert (labels[0] == -1).all()
    assert (labels[4:12, 2:10] == 1).all()
    assert labels[20, 20] == 3


def test_the_targets_fit_the_tasks(made: Made) -> None:
    splits = CocoData(root=made.root, size=(32, 40)).open()
    tasks = build_tasks(splits.tasks)
    image, targets = collate([splits.train[i] for i in range(4)], tasks=tasks)
    outputs = {"segmentation": torch.zeros(4, 4, 32, 40), "centres": torch.zeros(4, 3, 32, 40)}
    outputs["keypoints"] = torch.zeros(4, 3, 32, 40)
    assert image.shape == (4, 3, 32, 40)
    assert all(math.isfinite(loss) for loss in task_losses(tasks, outputs, targets).values())
    perfect = {name: targets[name].nan_to_num() * 20 - 10 for name in ("centres", "keypoints")}
    perfect["segmentation"] = torch.nn.functional.one_hot(targets["segmentation"].clamp(min=0), 4).movedim(-1, 1) * 9.0
    evaluation = Evaluation(tasks)
    evaluation.update(perfect, targets)
    scores = evaluation.compute()
    assert (scores["segmentation"]["miou"], scores["keypoints"]["found"]) == (100.0, 100.0)
    assert tasks[1].primary == "ap"


def test_the_table_tells_what_is_there(made: Made) -> None:
    findings = check_data(CocoData(root=made.root))
    assert not findings.problems
    assert [row[:3] for row in findings.rows[:3]] == [
        ("train", "differs", "segmentation"),
        ("", "", "centres"),
        ("", "", "keypoints"),
    ]
    assert findings.rows[1][3] == "3 of 3 classes: person 33%, dog 33%, bottle 33%"
    assert findings.rows[2][3:] == ("2 of 3 classes: nose 50%, left_eye 50%", "100.0%", "")
    assert [each.samples for each in findings.splits] == list(SPLITS.values())
    assert "train2017: keypoints without a label (v = 0): 8" in findings.notes


def test_tasks_that_are_not_wanted_need_no_files(made: Made) -> None:
    (made.root / "annotations" / "person_keypoints_train2017.json").unlink()
    splits = CocoData(root=made.root, tasks=("centres",), test=None).open()
    assert splits.test is None
    assert [task["name"] for task in splits.tasks] == ["centres"]
    assert list(splits.val[0][1]) == ["centres"]


def test_pictures_may_lie_in_a_folder_images(made: Made) -> None:
    (made.root / "images").mkdir()
    for split in SPLITS:
        (made.root / split).rename(made.root / "images" / split)
    assert len(CocoData(root=made.root, val=2).open().train) == 6


def test_opening_tells_how_far_it_is(made: Made) -> None:
    told: list[tuple[str, int, int]] = []
    CocoData(root=made.root).open(progress=lambda *each: told.append(each))
    assert told == [("annotations", 0, 2), ("annotations", 1, 2), ("annotations", 2, 2)]


def test_a_recipe_reads_it(made: Made, tiny_text: str) -> None:
    plain = tiny_text.replace("{kind: rooms, size: [32, 32], train: 8, val: 4, test: 4, cache: false}", "{kind: coco}")
    recipe = parse_recipe(plain, overrides=[f"data.root={made.root}", "data.size=[32, 32]"])
    place = open_workplace(recipe, Silent())
    assert place.outputs == {"segmentation": 4, "centres": 3, "keypoints": 3}
    assert place.build()(place.splits.val[0][0][None])["centres"].shape == (1, 3, 32, 32)


def test_settings_are_checked_and_read_back(tmp_path: Path) -> None:
    settings = CocoData(root=tmp_path, tasks=("keypoints",), stride=4, size=(128, 96), test=None)
    assert datasets.get("coco")(**settings.model_dump(mode="json")) == settings
    with pytest.raises(SettingError, match=r"stride: 8 does not divide the frame's 100x96; choose another size"):
        CocoData(root=tmp_path, size=(100, 96), stride=8)
    with pytest.raises(SettingError, match=r"test: val2017 is the training split too; name another one, or null"):
        CocoData(root=tmp_path, train="val2017")


def test_an_index_beyond_the_end_is_refused(made: Made) -> None:
    with pytest.raises(IndexError, match="picture 3 is not among the 3 of this split"):
        CocoData(root=made.root).open().test[3]  # type: ignore[index]  # there is a test split
