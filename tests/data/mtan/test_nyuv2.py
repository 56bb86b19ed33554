"""The reader of the MTAN tree: good trees open, and each fault has one message that names its file."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from niwaki.data import Augment, Augmented, NYUv2Data, check_data, datasets
from niwaki.errors import DataError, SettingError

H, W = 12, 16
Array = npt.NDArray[Any]


def write_frame(split: Path, number: int, rng: np.random.Generator) -> None:
    normal = rng.normal(size=(H, W, 3))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal[0, 0] = 0
    depth = rng.uniform(0.5, 5, (H, W, 1))
    depth[0, 1] = 0
    arrays = {
        "image": rng.random((H, W, 3)),
        "label": rng.integers(-1, 13, (H, W)),
        "depth": depth,
        "normal": normal,
    }
    for folder, array in arrays.items():
        (split / folder).mkdir(parents=True, exist_ok=True)
        np.save(split / folder / f"{number}.npy", array.astype(np.float32))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nyuv2")
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 3)):
        for number in range(count):
            write_frame(root / split, number, rng)
    return root


@pytest.fixture
def tree(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "nyuv2"))


def change(path: Path, how: Callable[[Array], Array]) -> None:
    np.save(path, how(np.load(path)))


def put(path: Path, place: tuple[object, ...], value: float) -> None:
    array = np.load(path)
    array[place] = value
    np.save(path, array)


def test_a_good_tree_opens_and_never_validates_on_the_folder_val(good: Path) -> None:
    splits = NYUv2Data(root=good, val=0.3, augment=None).open()
    assert splits.test is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (7, 3, 3)
    images = [
        each[i][0].numpy().tobytes() for each in (splits.train, splits.val, splits.test) for i in range(len(each))
    ]
    assert len(set(images)) == 13
    assert any("the folder val is the test split" in note for note in splits.notes)


def test_values_come_through_as_written(good: Path) -> None:
    splits = NYUv2Data(root=good, augment=None).open()
    assert splits.test is not None
    image, targets = splits.test[2]
    folder = good / "val"
    assert (image.permute(1, 2, 0).numpy() == np.load(folder / "image" / "2.npy")).all()
    assert (targets["segmentation"].numpy() == np.load(folder / "label" / "2.npy")).all()
    assert (targets["depth"][0].numpy() == np.load(folder / "depth" / "2.npy")[..., 0]).all()
    assert (targets["normals"].permute(1, 2, 0).numpy() == np.load(folder / "normal" / "2.npy")).all()
    assert targets["segmentation"].dtype == torch.int64


def in_dtype(array: Array, dtype: str, *, signed: bool) -> Array:
    if dtype != "uint8":
        return array.astype(dtype)
    return np.rint((array + 1) * 127.5 if signed else array * 255).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8"])
def test_any_dtype_is_read(tree: Path, dtype: str) -> None:
    path = tree / "val"
    before = np.load(path / "normal" / "0.npy")
    change(path / "image" / "0.npy", lambda a: in_dtype(a, dtype, signed=False))
    change(path / "normal" / "0.npy", lambda a: in_dtype(a, dtype, signed=True))
    change(path / "label" / "0.npy", lambda a: a.astype(np.int8))
    change(path / "depth" / "0.npy", lambda a: a[..., 0].astype("float64"))
    splits = NYUv2Data(root=tree, augment=None).open()
    assert splits.test is not None
    image, targets = splits.test[0]
    assert image.dtype == targets["depth"].dtype == targets["normals"].dtype == torch.float32
    assert np.abs(targets["normals"].permute(1, 2, 0).numpy() - before).max() < 0.02
    assert targets["normals"][:, 0, 0].abs().max() == 0


def test_frames_can_be_resized(good: Path) -> None:
    splits = NYUv2Data(root=good, size=(8, 8), augment=None).open()
    image, targets = splits.val[0]
    assert image.shape == (3, 8, 8)
    assert targets["normals"].shape == (3, 8, 8)
    length = targets["normals"].norm(dim=0)
    assert ((length < 1e-6) | ((length - 1).abs() < 1e-5)).all()


def test_training_is_augmented_unless_told_otherwise(good: Path) -> None:
    train = NYUv2Data(root=good).open().train
    assert isinstance(train, Augmented)
    assert not torch.equal(train[0][0], train[len(train)][0])


def empty_val(root: Path) -> None:
    for file in (root / "val").rglob("*.npy"):
        file.unlink()


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no root": (shutil.rmtree, r"nyuv2: found no such folder; expected a folder with train and val"),
    "no split": (lambda root: shutil.rmtree(root / "val"), r"val.image: found no such folder; expected"),
    "no folder": (lambda root: shutil.rmtree(root / "train" / "depth"), r"train.depth: found no such folder"),
    "no files": (empty_val, r"val.image: found no file"),
    "no file": (
        lambda root: shutil.move(root / "train" / "label" / "4.npy", root),
        r"label.4\.npy: found no such file; expected a file for each number, as image has 4\.npy",
    ),
    "no image": (
        lambda root: shutil.move(root / "train" / "image" / "4.npy", root),
        r"image.4\.npy: found no such file",
    ),
    "no array": (
        lambda root: (root / "train" / "depth" / "1.npy").write_bytes(b"text"),
        r"depth.1\.npy: found a file that can't be read",
    ),
    "cut short": (
        lambda root: (p := root / "val" / "depth" / "1.npy").write_bytes(p.read_bytes()[:-50]),
        r"depth.1\.npy: found a file that can't be read",
    ),
    "pickled": (
        lambda root: np.save(root / "val" / "label" / "1.npy", np.array([{}], dtype=object)),
        r"label.1\.npy: found a file that can't be read .*expected a NumPy array without pickled objects",
    ),
    "text": (
        lambda root: change(root / "val" / "label" / "1.npy", lambda a: a.astype("U3")),
        r"label.1\.npy: found dtype <U3; expected whole numbers of any dtype",
    ),
    "channels first": (
        lambda root: change(root / "train" / "image" / "0.npy", lambda a: a.transpose(2, 0, 1)),
        r"image.0\.npy: found shape \[3, 12, 16\]; expected shape",
    ),
    "another size": (
        lambda root: change(root / "train" / "label" / "3.npy", lambda a: a[:6]),
        r"label.3\.npy: found shape \[6, 16\]; expected shape \[12, 16\], as the image",
    ),
    "image of bytes": (
        lambda root: change(root / "train" / "image" / "0.npy", lambda a: a * 255),
        r"image.0\.npy: found values from .* to 25.*; expected values in \[0, 1\]; divide by 255, or store uint8",
    ),
    "image nan": (lambda root: put(root / "val" / "image" / "0.npy", (0, 0, 0), np.nan), r"image.0\.npy: found NaN"),
    "label above": (
        lambda root: put(root / "val" / "label" / "2.npy", (0, 0), 40),
        r"label.2\.npy: found the label 40; expected whole numbers from 0 to 12, and -1 where unlabelled",
    ),
    "label below": (
        lambda root: put(root / "val" / "label" / "2.npy", (0, 0), -7),
        r"label.2\.npy: found the label -7",
    ),
    "label between": (
        lambda root: put(root / "val" / "label" / "2.npy", (0, 0), 1.5),
        r"label.2\.npy: found labels that are no whole numbers",
    ),
    "depth negative": (
        lambda root: put(root / "val" / "depth" / "1.npy", (3, 3), -2),
        r"depth.1\.npy: found depths down to -2; expected metres above 0, and 0 where unlabelled",
    ),
    "depth nan": (
        lambda root: put(root / "val" / "depth" / "1.npy", (3, 3), np.nan),
        r"depth.1\.npy: found 1 NaN or infinite depths",
    ),
    "normals long": (
        lambda root: change(root / "val" / "normal" / "0.npy", lambda a: a * 2),
        r"normal.0\.npy: found 99\.5% of vectors off unit length \(up to 2\); expected unit vectors",
    ),
    "normals nan": (
        lambda root: put(root / "val" / "normal" / "0.npy", (2, 2, 1), np.nan),
        r"normal.0\.npy: found NaN or infinite components",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_file(tree: Path, fault: str) -> None:
    plant, message = FAULTS[fault]
    plant(tree)
    with pytest.raises(DataError, match=message):
        NYUv2Data(root=tree).open()
    findings = check_data(NYUv2Data(root=tree))
    assert findings.splits == ()
    assert len(findings.problems) <= 5
    assert all(len(problem) == 3 for problem in findings.problems)


def test_one_fault_is_one_problem(tree: Path) -> None:
    put(tree / "val" / "depth" / "1.npy", (3, 3), -2)
    (problem,) = check_data(NYUv2Data(root=tree)).problems
    assert problem.file == str(tree / "val" / "depth" / "1.npy")


def test_a_frame_that_goes_bad_later_is_refused_when_read(tree: Path) -> None:
    splits = NYUv2Data(root=tree, augment=None).open()
    put(tree / "train" / "label" / "0.npy", (0, 0), 99)
    with pytest.raises(DataError, match=r"label.0\.npy: found the label 99"):
        splits.train[0]
    (tree / "train" / "depth" / "1.npy").unlink()
    with pytest.raises(DataError, match=r"depth.1\.npy can't be read.*run `niwaki check-data`"):
        splits.train[1]


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_is_refused(good: Path, index: int) -> None:
    splits = NYUv2Data(root=good).open()
    assert splits.test is not None
    with pytest.raises(IndexError, match=f"frame {index} is not among the 3"):
        splits.test[index]


@pytest.mark.parametrize("wrong", [{"val": 0}, {"size": (2, 2)}, {"sizes": 3}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        NYUv2Data(**{"root": "x", **wrong})


def test_too_large_a_validation_split_is_refused(good: Path) -> None:
    with pytest.raises(DataError, match="a validation split of 10 can't be carved from 10"):
        NYUv2Data(root=good, val=10).open()


def test_settings_read_back_from_plain_data(good: Path) -> None:
    settings = NYUv2Data(root=good, size=(8, 8), augment=Augment(mirror=0.0))
    assert datasets.get("nyuv2")(**settings.model_dump(mode="json")) == settings


@pytest.fixture(scope="module")
def replica(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tool = project.parent / "shared" / "tools" / "unpack_data.py"
    if not tool.is_file():
        pytest.skip("the tool that unpacks real frames is not beside the project")
    folder = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, str(tool), str(folder), "replica"], check=True)
    return folder / "nyuv2_replica"


def test_real_frames_are_read(replica: Path) -> None:
    splits = NYUv2Data(root=replica, size=(96, 160)).open()
    assert splits.test is not None
    assert (len(splits.train), len(splits.val), len(splits.test)) == (58, 6, 13)
    image, targets = splits.test[5]
    assert image.shape == (3, 96, 160)
    known = targets["normals"].norm(dim=0) > 0.5
    assert (targets["normals"][2][known] < 0).float().mean() > 0.9
    assert targets["depth"][targets["depth"] > 0].min() > 0.5


def test_real_frames_are_counted(replica: Path) -> None:
    findings = check_data(NYUv2Data(root=replica))
    assert [each.samples for each in findings.splits] == [64, 13]
    assert findings.splits[0].size == (170, 300)
    assert findings.splits[0].histograms["segmentation"]["sofa"] > 0.1
