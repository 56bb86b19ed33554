"""The JSON list: which of its lists is which split, and one message for each fault."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.adashare.writing import nyuv2, write

from niwaki.data import AdaShareNYUv2Data, TaskonomyData, check_data
from niwaki.data.adashare.listed import split_rows
from niwaki.errors import DataError, SettingError

LIST = "nyu_v2_3task.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    nyuv2(tmp_path, {"train": 5, "test": 2})
    return tmp_path


def rows(*names: str) -> list[list[str]]:
    return [[name, "", "", ""] for name in names]


@pytest.mark.parametrize(
    ("given", "chosen", "note"),
    [
        ({"train": "ab", "test": "c"}, {"train": ("train",), "test": ("test",)}, None),
        ({"train": "ab", "train1": "a", "train2": "b"}, {"train": ("train",)}, "there is no list test"),
        ({"train1": "a", "train2": "b", "test": "c"}, {"train": ("train1", "train2"), "test": ("test",)}, None),
        (
            {"train": "ab", "val": "d", "test": "c"},
            {"train": ("train",), "val": ("val",), "test": ("test",)},
            None,
        ),
        (
            {"train": "ab", "val": "cd", "test": "cd"},
            {"train": ("train",), "test": ("test",)},
            "the list val is not used: it shares 2 pictures with other splits",
        ),
        (
            {"train": "ab", "val": "bd", "test": "c"},
            {"train": ("train",), "test": ("test",)},
            "the list val is not used: it shares 1 pictures with other splits",
        ),
    ],
)
def test_lists_become_splits(given: dict[str, str], chosen: dict[str, tuple[str, ...]], note: str | None) -> None:
    found, notes = split_rows({name: rows(*letters) for name, letters in given.items()}, "test")
    assert found == chosen
    assert any(note in each for each in notes) if note else notes == ()


def test_a_list_val_may_be_the_test_split() -> None:
    found, _ = split_rows({"train": rows("a"), "val": rows("b")}, "val")
    assert found == {"train": ("train",), "test": ("val",)}


def test_without_a_test_list_there_is_no_test_split(root: Path) -> None:
    splits = AdaShareNYUv2Data(root=root, test="test_large").open()
    assert splits.test is None
    assert "there is no list test_large, so nothing is tested" in splits.notes


def test_a_list_val_of_its_own_picks_the_epoch(root: Path) -> None:
    change(lambda lists: lists | {"val": lists["train"][:2], "train": lists["train"][2:]})(root)
    splits = AdaShareNYUv2Data(root=root, augment=None).open()
    assert (len(splits.train), len(splits.val)) == (3, 2)


def change(how: Callable[[dict[str, Any]], Any]) -> Callable[[Path], object]:
    def plant(root: Path) -> None:
        lists = json.loads((root / LIST).read_text())
        (root / LIST).write_text(json.dumps(how(lists)))

    return plant


def row(**paths: object) -> Callable[[Path], object]:
    """Change the first row of train."""
    columns = ("image", "seg", "normal", "depth")

    def how(lists: dict[str, Any]) -> dict[str, Any]:
        first = [paths.get(column, path) for column, path in zip(columns, lists["train"][0], strict=True)]
        return {**lists, "train": [first, *lists["train"][1:]]}

    return change(how)


def array(path: str, how: Callable[[Any], Any]) -> Callable[[Path], object]:
    from PIL import Image

    def plant(root: Path) -> None:
        file = root / path
        write(file, how(np.load(file) if file.suffix == ".npy" else np.asarray(Image.open(file)).copy()))

    return plant


def holding(value: float, *place: int) -> Callable[[Any], Any]:
    def how(values: Any) -> Any:
        values[place] = value
        return values

    return how


def cut(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:-200])


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no list": (
        lambda root: (root / LIST).unlink(),
        r"nyu_v2_3task\.json: found no such file; expected the list of samples, JSON of the form .*--set data.root=DIR",
    ),
    "no JSON": (
        lambda root: (root / LIST).write_text("{"),
        r"3task\.json: found a file that can't be read \(Expecting",
    ),
    "no lists": (lambda root: (root / LIST).write_text("[1]"), r"3task\.json: found list; expected JSON of the form"),
    "no list in it": (change(lambda lists: {"train": 3}), "found a split that is no list; expected JSON of the form"),
    "no train": (change(lambda lists: {"test": lists["test"]}), r"found the lists test; expected a list train"),
    "nothing": (change(lambda lists: {}), r"found the lists nothing; expected a list train with samples"),
    "too few paths": (
        change(lambda lists: {"train": [["a.png", "b.png"]]}),
        r"in train\[0\] 2 paths; expected 4 paths \(image, seg, normal, depth\), null for a file that is missing",
    ),
    "no row": (change(lambda lists: {"train": ["a.png"]}), r"found in train\[0\] 'a.png'; expected 4 paths"),
    "no picture": (row(image=None), r"in train\[0\] no image; expected a path: a sample may lack labels"),
    "no path": (row(depth=7), r"in train\[0\] 7 as depth; expected a path inside the list's folder, or null"),
    "absolute": (row(seg="/data/seg/1.png"), r"'/data/seg/1.png' as seg; expected a path inside the list's folder"),
    "elsewhere": (row(seg="../seg/1.png"), r"'../seg/1.png' as seg; expected a path inside the list's folder"),
    "leak": (
        change(lambda lists: lists | {"test": lists["train"][:2]}),
        r"found 2 pictures of test in train too, such as img/train0000.png; expected splits without a picture in",
    ),
    "no file": (row(seg="seg/none.png"), r"seg.none\.png: found no such file; expected the seg of a frame"),
    "no image file": (
        lambda root: (root / "img" / "test0001.png").write_text("text"),
        r"test0001\.png: found a file that can't be read \(cannot identify",
    ),
    "cut short": (cut("normal_mask/train0001.png"), r"train0001\.png: found a file that can't be read"),
    "colourful labels": (
        array("seg/train0002.png", lambda a: np.stack([a, a, a], -1)),
        r"seg.train0002\.png: found shape \[12, 16, 3\]; expected shape \[12, 16\], as the image of that frame has",
    ),
    "grey picture": (
        array("img/train0002.png", lambda a: a[..., 0]),
        r"img.train0002\.png: found shape \[12, 16\]; expected shape \[12, 16, 3\]",
    ),
    "another size": (
        array("depth/train0002.npy", lambda a: a[:6]),
        r"depth.train0002\.npy: found shape \[6, 16\]; expected shape \[12, 16, 1\]",
    ),
    "text": (
        array("depth/train0002.npy", lambda a: a.astype("U3")),
        r"depth.train0002\.npy: found dtype <U3; expected real numbers of any dtype",
    ),
    "label": (
        array("seg/train0003.png", holding(40, 0, 0)),
        r"seg.train0003\.png: found the label 40; expected whole numbers from 0 to 39, and 255 where unlabelled",
    ),
    "many labels": (
        array("seg/train0003.png", lambda a: np.arange(192, dtype=np.uint8).reshape(12, 16)),
        r"seg.train0003\.png: found the labels 40, 41, 42 and 149 more",
    ),
    "depth": (
        array("depth/train0003.npy", holding(-2, 4, 4)),
        r"depth.train0003\.npy: found depths down to -2; expected metres above 0, and 0 where unlabelled",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_file(root: Path, fault: str) -> None:
    plant, message = FAULTS[fault]
    plant(root)
    with pytest.raises(DataError, match=message):
        AdaShareNYUv2Data(root=root).open()
    findings = check_data(AdaShareNYUv2Data(root=root))
    assert findings.splits == ()
    assert 1 <= len(findings.problems) <= 5


def test_a_frame_that_goes_bad_later_is_refused_when_read(root: Path) -> None:
    change(lambda lists: lists | {"val": lists["test"], "test": []})(root)
    splits = AdaShareNYUv2Data(root=root, augment=None).open()
    array("seg/train0000.png", holding(77, 0, 0))(root)
    with pytest.raises(DataError, match=r"train0000\.png: found the label 77; expected whole numbers"):
        splits.train[0]
    array("depth/train0002.npy", lambda a: a[:6])(root)
    with pytest.raises(DataError, match=r"train0002\.npy: found shape \[6, 16\]; expected shape \[12, 16, 1\], as the"):
        splits.train[2]
    array("img/train0003.png", lambda a: a[..., 0])(root)
    with pytest.raises(DataError, match=r"train0003\.png: found shape \[12, 16\]; expected shape \[12, 16, 3\]"):
        splits.train[3]
    (root / "img" / "train0001.png").unlink()
    with pytest.raises(DataError, match=r"train0001\.png can't be read.*run `niwaki check-data`"):
        splits.train[1]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["normal"], "tasks: no task 'normal'; the data has segmentation, normals, depth; did you mean 'normals'?"),
        ([], "tasks: .*at least 1 item"),
    ],
)
def test_only_tasks_of_the_data_can_be_asked_for(tasks: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message.replace("?", r"\?")):
        AdaShareNYUv2Data(root="x", tasks=tasks)
    assert TaskonomyData(root="x", tasks=["edge"]).tasks == ("edge",)
