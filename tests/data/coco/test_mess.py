"""Annotations as messy as real ones: what is odd is dealt with and counted, what is wrong is named or left out."""

import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.coco.making import CATEGORIES, Json, Made, runs, square

from niwaki.data import CocoData, check_data
from niwaki.errors import DataError, MissingExtraError

pytest.importorskip("pycocotools")

CROWD = np.zeros((60, 40), np.bool_)
CROWD[30:50, 20:40] = True


def first(contents: Json) -> Json:
    """Return the first annotation: the dog on picture 1, 60 x 40."""
    found: Json = contents["annotations"][0]
    return found


def added(**changes: Any) -> Callable[[Json], None]:
    """Return an edit that annotates one more dog on picture 1."""
    return lambda contents: contents["annotations"].append(
        {"id": 999, "image_id": 1, "category_id": 18, **square(20, 30, 4), **changes}
    )


def notes(made: Made, **settings: Any) -> tuple[str, ...]:
    findings = check_data(CocoData(root=made.root, **settings))
    assert not findings.problems
    return tuple(note.removeprefix("train2017: ") for note in findings.notes if note.startswith("train2017: "))


def targets_of(made: Made, picture: int = 1, **settings: Any) -> dict[str, torch.Tensor]:
    settings = {"size": (60, 40), "augment": None, "val": 1, **settings}
    return dict(CocoData(root=made.root, **settings).open().train[picture - 1][1])


def test_crowds_are_no_centres_but_places_without_label(made: Made) -> None:
    made.edit(added(category_id=1, iscrowd=1, segmentation=runs(CROWD), bbox=[20, 30, 20, 20]))
    assert "crowds, which are no single object: 1" in notes(made)
    heat = targets_of(made)["centres"]
    assert torch.equal(heat[0].isnan(), torch.from_numpy(CROWD))
    assert not heat[1:].isnan().any()
    assert int((heat == 1).sum()) == 3
    assert (targets_of(made)["segmentation"][30:50, 20:40] == 1).all()  # a crowd of people is people


def test_where_crowds_of_two_categories_meet_no_map_has_a_label(made: Made) -> None:
    whole = np.ones((60, 40), np.bool_)
    made.edit(added(category_id=1, iscrowd=1, segmentation=runs(CROWD)))
    made.edit(added(id=1000, category_id=44, iscrowd=1, segmentation=runs(whole)))
    heat = targets_of(made)["centres"]
    assert heat[:, 31:50, 21:40].isnan().all()
    assert not heat[:2, :30, :15].isnan().any()
    assert heat[2, 13, 17] == 1.0  # a bottle of its own is one in the middle of a crowd of them, too


def test_where_two_classes_claim_a_pixel_it_has_no_label(made: Made) -> None:
    made.edit(added(category_id=44, **square(2, 4, 4)))
    labels = targets_of(made)["segmentation"]
    assert (labels[4:8, 2:6] == -1).all()
    assert (labels[8:12, 6:10] == 2).all()


def test_boxes_without_area_and_over_the_edge(made: Made) -> None:
    made.edit(added(bbox=[5.0, 5.0, 0.0, 3.0]))
    made.edit(added(id=1000, bbox=[100.0, 5.0, 3.0, 3.0]))
    made.edit(added(id=1001, bbox=[30.0, 50.0, 20.0, 30.0]))
    made.edit(added(id=1002, bbox=[-0.4, 20.0, 8.4, 4.0], category_id=1))
    assert notes(made)[:2] == (
        "boxes without any area in the picture, not used: 2",
        "boxes over the edge of the picture by more than a pixel, cut off there: 1",
    )
    peaks = (targets_of(made)["centres"] == 1).nonzero().tolist()
    assert [1, 55, 35] in peaks  # the middle of what is in the picture
    assert [0, 22, 4] in peaks
    assert len(peaks) == 5


def test_pictures_without_objects_people_or_annotations(made: Made) -> None:
    def strip(contents: Json) -> None:
        contents["annotations"] = [each for each in contents["annotations"] if each["image_id"] != 1]

    made.edit(strip)
    made.edit(strip, "person_keypoints")
    assert "pictures without any object in instances_train2017.json: 1" in notes(made)
    assert "pictures without people: 1" in notes(made)
    targets = targets_of(made)
    assert (targets["segmentation"] == 0).all()
    assert (targets["centres"] == 0).all()
    assert (targets["keypoints"] == 0).all()


def test_people_without_keypoints_are_not_held_against_the_network(made: Made) -> None:
    made.edit(lambda contents: first(contents).update(keypoints=[0] * 9, num_keypoints=0), "person_keypoints")
    assert "people without any keypoint, unlabelled there: 1" in notes(made)
    heat = targets_of(made)["keypoints"]
    assert heat[:, 16:24, 8:16].isnan().all()
    assert int(heat.isnan().sum()) == 3 * 64


@pytest.mark.parametrize("area", [0, None, math.nan, "large"])
def test_a_person_without_an_area_takes_that_of_the_box(made: Made, area: object) -> None:
    known = targets_of(made)["keypoints"]
    made.edit(lambda contents: first(contents).update(area=area), "person_keypoints")
    assert torch.equal(targets_of(made)["keypoints"], known)


def test_categories_without_keypoints_are_no_people(made: Made) -> None:
    def mix(contents: Json) -> None:
        contents["categories"].append(CATEGORIES[1])
        contents["annotations"].append({"id": 999, "image_id": 1, "category_id": 18, **square(20, 30, 4)})

    made.edit(mix, "person_keypoints")
    assert not any("people without any" in note for note in notes(made))
    assert not targets_of(made)["keypoints"].isnan().any()


@pytest.mark.parametrize("category", [[1], {"a": 1}, None])
def test_a_category_that_is_no_number_is_told(made: Made, category: Any) -> None:
    made.edit(lambda contents: first(contents).update(category_id=category), "person_keypoints")
    with pytest.raises(DataError, match="categor"):
        CocoData(root=made.root, size=(32, 32)).open()


def test_keypoints_outside_of_the_picture_are_not_used(made: Made) -> None:
    made.edit(lambda contents: first(contents).update(keypoints=[11, 17, 2, 400, 18, 1, 0, 0, 0]), "person_keypoints")
    assert "keypoints outside of the picture, not used: 1" in notes(made)
    assert (targets_of(made)["keypoints"] == 1).nonzero().tolist() == [[0, 17, 11]]


def test_polygons_of_two_corners_and_objects_without_any_mask(made: Made) -> None:
    made.edit(added(segmentation=[[1, 1, 5, 5]]))
    made.edit(added(id=1000, segmentation=[]))
    assert "objects without a mask: 2" in notes(made)
    assert int((targets_of(made)["segmentation"] == 2).sum()) == 64


def test_grey_pictures_and_names_with_folders(made: Made) -> None:
    folder = made.root / "train2017" / "kitchen"
    folder.mkdir()
    grey = np.arange(2400, dtype=np.uint8).reshape(60, 40)
    Image.fromarray(grey).save(folder / "1.png")

    def rename(contents: Json) -> None:
        contents["images"][0]["file_name"] = "kitchen/1.png"

    made.edit(rename)
    made.edit(rename, "person_keypoints")
    image, _ = CocoData(root=made.root, size=(60, 40), augment=None, val=1).open().train[0]
    assert torch.equal(image, torch.from_numpy(grey).float().div(255).expand(3, -1, -1))


FAULTS: dict[str, tuple[str, Callable[[Made], Any], str]] = {
    "missing picture": (
        "pictures without a file",
        lambda made: (made.root / "train2017" / "000000000001.png").unlink(),
        r"000000000001.png: found no such file; expected picture 1, in train2017 or images/train2017",
    ),
    "other size": (
        "pictures that can't be used",
        lambda made: Image.new("RGB", (5, 7)).save(made.root / "train2017" / "000000000001.png"),
        r"000000000001.png: found 7x5 pixels; expected 60x40, as its annotations say",
    ),
    "no picture": (
        "pictures that can't be used",
        lambda made: (made.root / "train2017" / "000000000001.png").write_text("<html>"),
        r"000000000001.png: found a file that can't be read .*; expected a picture",
    ),
    "unknown category": (
        "annotations of no known category",
        lambda made: made.edit(added(category_id=7)),
        r"found annotation 999 on picture 1 of category 7; expected the id of a category in categories",
    ),
    "unknown picture": (
        "annotations on no known picture",
        lambda made: made.edit(added(image_id=77)),
        r"found annotation 999 on picture 77; expected the id of a picture in images",
    ),
    "annotation twice": (
        "annotations with an id of another",
        lambda made: made.edit(added(id=10)),
        r"found annotation 10 twice; expected an id for each annotation",
    ),
    "annotation id": (
        "annotations with an id of another",
        lambda made: made.edit(added(id="x")),
        r"found annotation 'x' at 24; expected an id for each annotation",
    ),
    "picture twice": (
        "pictures with an id of another",
        lambda made: made.edit(lambda each: each["images"].append({**each["images"][0], "file_name": "again.png"})),
        r"found picture 1 twice: 000000000001.png and again.png; expected an id for each picture",
    ),
    "category twice": (
        "categories with an id of another",
        lambda made: made.edit(lambda each: each["categories"].append({"id": 18, "name": "wolf"})),
        r"found category 18 twice; expected an id for each category",
    ),
    "category without id": (
        "categories without a whole number as id",
        lambda made: made.edit(lambda each: each["categories"].append({"id": "90", "name": "wolf"})),
        r"found category 'wolf' with id '90'; expected an id for each category",
    ),
    "picture without id": (
        "pictures without id, name or size",
        lambda made: made.edit(lambda each: each["images"].append({"file_name": "a.png", "height": 1, "width": 1})),
        r"found images\[8\] without a whole number as id; expected an id for each picture",
    ),
    "name elsewhere": (
        "pictures without id, name or size",
        lambda made: made.edit(
            lambda each: each["images"].append({"id": 50, "file_name": "../a", "height": 1, "width": 1})
        ),
        r"found picture 50 with file_name '../a'; expected a path inside the folder of its split",
    ),
    "no height": (
        "pictures without id, name or size",
        lambda made: made.edit(lambda each: each["images"].append({"id": 50, "file_name": "a.png", "width": 1})),
        r"found picture 50 of Nonex1; expected height and width in pixels",
    ),
    "sizes differ": (
        "pictures that two files describe differently",
        lambda made: made.edit(lambda each: each["images"][0].update(height=61), "person_keypoints"),
        r"found picture 1 as 000000000001.png of 61x40, elsewhere 000000000001.png of 60x40; expected the same",
    ),
    "short box": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(bbox=[1, 2, 3])),
        r"found the box \[1, 2, 3\] in annotation 999 on picture 1; expected four numbers",
    ),
    "inverted box": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(bbox=[1, 2, -3, 4])),
        r"found the box \[1, 2, -3, 4\] in .*; expected finite numbers \[x, y, width, height\], sides of 0 or more",
    ),
    "no outline": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation=[[1, 2, 3, 4, 5, "a"]])),
        r"found a polygon that is no list of x, y, x, y, ... in .*; expected finite numbers, two for each corner",
    ),
    "far outline": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation=[[1, 2, 3, 4, 5, 1e9]])),
        r"found a polygon up to 1e\+09 in .*; expected corners in a picture of 60x40",
    ),
    "mask of another picture": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation={"size": [4, 4], "counts": [16]})),
        r"found a mask of \[4, 4\] in .*; expected polygons, or run lengths of \[60, 40\] as the picture has",
    ),
    "mask of text": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation="everything")),
        r"found a mask of type str in .*; expected polygons, or run lengths",
    ),
    "short runs": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation={"size": [60, 40], "counts": [3, 4]})),
        r"found run lengths that make 7 pixels in .*; expected 2400 pixels, as 60x40",
    ),
    "broken packing": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation={"size": [60, 40], "counts": "o"})),
        r"found packed run lengths that don't fit in .*; expected 2400 pixels",
    ),
    "foreign packing": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation={"size": [60, 40], "counts": "\u00e9 "})),
        r"found packed run lengths that don't fit in .*; expected 2400 pixels",
    ),
    "runs of numbers below zero": (
        "annotations with a broken box or mask",
        lambda made: made.edit(added(segmentation={"size": [60, 40], "counts": [2500, -100]})),
        r"found run lengths of type list in .*; expected whole numbers, or their packing as text",
    ),
    "short keypoints": (
        "people with broken keypoints",
        lambda made: made.edit(lambda each: first(each).update(keypoints=[1, 2]), "person_keypoints"),
        r"found keypoints of annotation 12 on picture 1 that are none; expected 3 times x, y and v, v one of",
    ),
    "odd visibility": (
        "people with broken keypoints",
        lambda made: made.edit(lambda each: first(each).update(keypoints=[1, 2, 7] * 3), "person_keypoints"),
        r"found keypoints of annotation 12 on picture 1 that are none; expected 3 times x, y and v",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_may_be_left_out(made: Made, name: str) -> None:
    sort, spoil, message = FAULTS[name]
    spoil(made)
    with pytest.raises(DataError, match=message) as raised:
        CocoData(root=made.root).open()
    assert str(raised.value).count("or skip_wrong=true, which leaves such things out") == 1
    assert len(check_data(CocoData(root=made.root)).problems) >= 1
    settings = CocoData(root=made.root, skip_wrong=True, size=(32, 32))
    splits = settings.open()
    left = [note for note in splits.notes if "left out" in note]
    assert any(f"left out: {sort}: " in note for note in left)
    assert all(splits.train[index][0].shape == (3, 32, 32) for index in range(len(splits.train)))
    assert not check_data(settings).problems


WHOLE: dict[str, tuple[Callable[[Made], Any], str]] = {
    "missing file": (
        lambda made: (made.root / "annotations" / "instances_val2017.json").unlink(),
        r"instances_val2017.json: found no such file; expected a file of annotations, JSON of COCO's form",
    ),
    "broken file": (
        lambda made: (made.root / "annotations" / "instances_val2017.json").write_text("{"),
        r"instances_val2017.json: found a file that can't be read",
    ),
    "list": (
        lambda made: made.write("instances", "val2017", [1]),
        r"found no such lists; expected JSON of COCO's form",
    ),
    "no lists": (lambda made: made.write("instances", "val2017", {"images": 3}), r"found no such lists"),
    "nothing listed": (
        lambda made: made.write("instances", "val2017", {"images": [], "annotations": [], "categories": []}),
        r"found 0 pictures and 0 categories; expected at least one of each",
    ),
    "other categories": (
        lambda made: made.edit(lambda each: each["categories"].pop(), "instances", "val2017"),
        r"annotations: found other categories in val2017 than in train2017; expected the same categories",
    ),
    "no category with keypoints": (
        lambda made: made.edit(lambda each: each["categories"][0].pop("keypoints"), "person_keypoints", "val2017"),
        r"found 0 categories with keypoints; expected one, such as person, with their names",
    ),
    "no picture at all": (
        lambda made: (made.root / "val2017").rename(made.root / "elsewhere"),
        r"000000000001.png: found no such file",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_makes_everything_unusable_is_named_even_where_faults_are_left_out(made: Made, name: str) -> None:
    spoil, message = WHOLE[name]
    spoil(made)
    for skip_wrong in (False, True):
        with pytest.raises(DataError, match=message):
            CocoData(root=made.root, skip_wrong=skip_wrong).open()


def test_faults_of_panoptic_pictures(made: Made) -> None:
    made.add_panoptic()
    settings = CocoData(root=made.root, labels="panoptic", tasks=("segmentation",), size=(60, 40), augment=None)

    def spoil(contents: Json) -> None:
        contents["annotations"][0]["segments_info"][0]["category_id"] = 6
        contents["annotations"][1]["segments_info"] = 3
        contents["annotations"].append(dict(contents["annotations"][2]))

    made.edit(spoil, "panoptic")
    (made.root / "annotations" / "panoptic_train2017" / "000000000004.png").unlink()
    with pytest.raises(DataError) as raised:
        settings.open()
    text = str(raised.value)
    assert "found the segment {'id': 1000, 'category_id': 6, 'iscrowd': 0}; expected an id, and the category_id" in text
    assert "found file_name '000000000002.png' and int as segments_info; expected a name and a list" in text
    assert "found 2 annotations; expected one annotation, for picture 3" in text
    assert "000000000004.png: found no such file; expected the segments of picture 4" in text
    splits = CocoData(**{**settings.model_dump(), "skip_wrong": True}).open()
    assert "train2017: pictures without a panoptic one, unlabelled: 4" in splits.notes
    samples = [splits.train[index] for index in range(len(splits.train))] + [splits.val[0]]
    assert [len(targets) for _, targets in samples].count(0) == 4


@pytest.mark.parametrize("absolute", [False, True])
def test_a_panoptic_picture_outside_of_its_folder_is_not_read(made: Made, absolute: bool) -> None:
    made.add_panoptic()
    own = made.root / "annotations" / "panoptic_train2017" / "000000000001.png"
    secret = own.rename(made.root / "secret.png")
    name = str(secret) if absolute else "../../secret.png"
    assert (own.parent / name).is_file()
    made.edit(lambda contents: first(contents).update(file_name=name), "panoptic")
    settings = CocoData(root=made.root, labels="panoptic", tasks=("segmentation",), size=(60, 40), augment=None)
    message = f"found file_name '{name}'; expected a path inside the folder of the panoptic pictures, for picture 1"
    with pytest.raises(DataError, match=re.escape(message)):
        settings.open()
    splits = CocoData(**{**settings.model_dump(), "skip_wrong": True}).open()
    assert "train2017: pictures without a panoptic one, unlabelled: 1" in splits.notes


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.new("RGB", (40, 60), (1, 2, 3)), r"found the segment 197121; expected segments that the file of annot"),
        (Image.new("RGB", (4, 6)), r"found uint8 \[6, 4, 3\]; expected a colour picture of 60x40"),
        (None, r"found a file that can't be read .*; expected a colour picture"),
    ],
)
def test_a_panoptic_picture_is_checked_when_it_is_read(made: Made, picture: Any, message: str) -> None:
    made.add_panoptic()
    file = made.root / "annotations" / "panoptic_train2017" / "000000000001.png"
    file.write_text("") if picture is None else picture.save(file)
    settings = CocoData(root=made.root, labels="panoptic", tasks=("segmentation",), augment=None)
    with pytest.raises(DataError, match=message):
        settings.open().train[0]
    assert re.search(message, str(check_data(settings).problems[0]))


def test_a_picture_that_breaks_off_is_named_when_it_is_read(made: Made) -> None:
    file = made.root / "train2017" / "000000000001.png"
    file.write_bytes(file.read_bytes()[:2000])
    splits = CocoData(root=made.root, augment=None).open()
    with pytest.raises(DataError, match=r"000000000001.png: found a file that can't be read .*; expected a picture"):
        splits.train[0]
    (problem,) = check_data(CocoData(root=made.root)).problems
    assert problem.file.endswith("000000000001.png")
    assert problem.expected == "a picture"


def test_without_pycocotools_the_extra_is_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtraError, match=r"reading COCO's masks needs an optional package.*niwaki\[coco\]"):
        CocoData(root=made.root).open()


def test_only_the_folder_is_wrong(tmp_path: Path) -> None:
    findings = check_data(CocoData(root=tmp_path / "nowhere"))
    assert [each.found for each in findings.problems] == ["no such file", "no such file"]
