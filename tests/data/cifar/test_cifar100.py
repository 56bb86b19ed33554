"""The reader of CIFAR-100's binary files: values as written, and for each fault one message that names its file."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from niwaki.data import Augmented, Cifar100Data, SampleDataset, ShiftMirror, check_data, datasets
from niwaki.data.cifar.names import STANDARD
from niwaki.errors import DataError, SettingError

# Superclasses 2 and 7, with three and two classes; the numbers are none of CIFAR-100's own pairs.
HOME = {10: 2, 11: 2, 50: 2, 90: 7, 91: 7}
EACH = {"train": 10, "test": 4}

# The fine labels' superclasses, 0 to 99, as the data set's own files have them.
PUBLISHED = (
    "4 1 14 8 0 6 7 7 18 3 3 14 9 18 7 11 3 9 7 11 6 11 5 10 7 "
    "6 13 15 3 15 0 11 1 10 12 14 16 9 11 5 5 19 8 8 15 13 14 17 18 10 "
    "16 4 17 4 2 0 17 4 18 17 10 3 2 12 12 16 12 1 9 19 2 10 0 1 16 "
    "12 9 13 15 13 16 19 2 4 6 19 5 5 8 19 18 1 2 15 6 0 17 8 14 13"
)


def record(coarse: int, fine: int, picture: bytes) -> bytes:
    assert len(picture) == 3072
    return bytes([coarse, fine]) + picture


def write(path: Path, home: dict[int, int], each: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [(coarse, fine) for fine, coarse in home.items() for _ in range(each)]
    rng.shuffle(pairs)
    path.write_bytes(b"".join(record(coarse, fine, rng.bytes(3072)) for coarse, fine in pairs))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar")
    for number, (split, each) in enumerate(EACH.items()):
        write(root / f"{split}.bin", HOME, each, number)
    return root


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "cifar"))


def records(root: Path, split: str) -> list[tuple[int, int, bytes]]:
    raw = (root / f"{split}.bin").read_bytes()
    return [(raw[i], raw[i + 1], raw[i + 2 : i + 3074]) for i in range(0, len(raw), 3074)]


def as_bytes(image: torch.Tensor) -> bytes:
    return (image * 255).round().to(torch.uint8).numpy().tobytes()


def all_of(split: SampleDataset) -> list[tuple[bytes, dict[str, int]]]:
    return [
        (as_bytes(x), {task: int(y) for task, y in targets.items()})
        for x, targets in map(split.__getitem__, range(len(split)))
    ]


def by_task(splits: Any) -> tuple[dict[str, SampleDataset], dict[str, SampleDataset], dict[str, SampleDataset]]:
    assert isinstance(splits.train, dict)
    return splits.train, splits.val, splits.test


def test_each_superclass_is_a_task_with_its_own_pictures(good: Path) -> None:
    _, _, test = by_task(Cifar100Data(root=good, augment=None).open())
    assert list(test) == ["coarse_02", "coarse_07"]
    for task, coarse, members in (("coarse_02", 2, [10, 11, 50]), ("coarse_07", 7, [90, 91])):
        written = [(picture, {task: members.index(f)}) for c, f, picture in records(good, "test") if c == coarse]
        assert all_of(test[task]) == written


def test_a_picture_is_three_planes(good: Path) -> None:
    splits = Cifar100Data(root=good, mode="coarse_fine", augment=None).open()
    assert isinstance(splits.test, SampleDataset)
    image, targets = splits.test[3]
    coarse, fine, raw = records(good, "test")[3]
    assert (int(targets["coarse"]), int(targets["fine"])) == (coarse, fine)
    assert image.dtype == torch.float32
    for plane, row, column in ((0, 0, 0), (1, 5, 31), (2, 31, 7)):
        assert image[plane, row, column].item() == pytest.approx(raw[1024 * plane + 32 * row + column] / 255)


def test_validation_is_carved_from_each_tasks_training_pictures(good: Path) -> None:
    train, val, test = by_task(Cifar100Data(root=good, val=0.2, augment=None).open())
    assert {task: (len(train[task]), len(val[task]), len(test[task])) for task in train} == {
        "coarse_02": (24, 6, 12),
        "coarse_07": (16, 4, 8),
    }
    seen = [picture for part in (train, val, test) for each in part.values() for picture, _ in all_of(each)]
    assert len(set(seen)) == len(seen) == 70
    trained = {picture for _, _, picture in records(good, "train")}
    assert all(picture in trained for each in val.values() for picture, _ in all_of(each))


def test_what_the_tasks_are(good: Path) -> None:
    splits = Cifar100Data(root=good).open()
    assert splits.tasks == (
        {"kind": "classification", "name": "coarse_02", "classes": 3},
        {"kind": "classification", "name": "coarse_07", "classes": 2},
    )
    assert splits.classes["coarse_02"] == ("fine_10", "fine_11", "fine_50")
    assert splits.notes == (
        "2 of 20 superclasses and 5 of 100 classes; their names are numbers, since the classes are not CIFAR-100's",
        "validation: 5 pictures of train.bin, of each task its share",
    )
    both = Cifar100Data(root=good, mode="coarse_fine").open()
    assert [(task["name"], task["classes"]) for task in both.tasks] == [("coarse", 20), ("fine", 100)]


def test_training_pictures_move_from_epoch_to_epoch_and_never_by_chance(good: Path) -> None:
    train, val, _ = by_task(Cifar100Data(root=good).open())
    again, _, _ = by_task(Cifar100Data(root=good).open())
    other, _, _ = by_task(Cifar100Data(root=good, seed=1).open())
    task = "coarse_02"
    assert isinstance(train[task], Augmented)
    assert not isinstance(val[task], Augmented)
    count = len(train[task])
    assert torch.equal(train[task][count + 1][0], again[task][count + 1][0])
    assert not torch.equal(train[task][1][0], train[task][count + 1][0])
    assert not torch.equal(train[task][1][0], other[task][1][0])


def test_the_standard_names_are_the_published_ones() -> None:
    fine = sorted(name for five in STANDARD.values() for name in five)
    assert len(fine) == len(set(fine)) == 100
    homes = [next(i for i, five in enumerate(STANDARD.values()) if name in five) for name in fine]
    assert " ".join(map(str, homes)) == PUBLISHED


def test_files_that_agree_with_cifar_100_are_named_as_it_is(tmp_path: Path) -> None:
    home = {fine: int(coarse) for fine, coarse in enumerate(PUBLISHED.split())}
    for split in EACH:
        write(tmp_path / f"{split}.bin", home, 2, 0)
    splits = Cifar100Data(root=tmp_path, val=0.2).open()
    assert list(splits.classes) == list(STANDARD)
    assert splits.classes["large_carnivores"] == ("bear", "leopard", "lion", "tiger", "wolf")
    assert "20 of 20 superclasses and 100 of 100 classes; their names are CIFAR-100's own" in splits.notes


def test_names_beside_the_files_are_used(folder: Path) -> None:
    (folder / "coarse_label_names.txt").write_text("".join(f"big.{i}\n" for i in range(20)))
    (folder / "fine_label_names.txt").write_text("".join(f"big.{i % 7}/small {i}\n" for i in range(100)))
    splits = Cifar100Data(root=folder).open()
    assert dict(splits.classes) == {"big_2": ("small 10", "small 11", "small 50"), "big_7": ("small 90", "small 91")}


def put(path: Path, place: int, value: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] = value
    path.write_bytes(raw)


def emptied(root: Path) -> None:
    for file in root.iterdir():
        file.unlink()


def as_pickles(root: Path) -> None:
    emptied(root)
    for name in ("train", "test", "meta"):
        (root / name).write_bytes(pickle.dumps({b"data": 1}))


def one_deeper(root: Path) -> None:
    shutil.copytree(root, root / "cifar-100-binary")
    for split in EACH:
        (root / f"{split}.bin").unlink()


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def first(root: Path, split: str, fine: int) -> int:
    """Return where the first record of a class begins."""
    return 3074 * next(i for i, (_, f, _) in enumerate(records(root, split)) if f == fine)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no root": (shutil.rmtree, r"cifar: found no such folder; expected a folder with train\.bin and test\.bin"),
    "empty": (emptied, r"cifar: found neither train\.bin nor test\.bin"),
    "no test": (
        lambda root: shutil.move(root / "test.bin", root / "other"),
        r"test\.bin: found no such file; expected",
    ),
    "pickled": (as_pickles, r"found the pickled version \(cifar-100-python\); expected .*runs code"),
    "one deeper": (one_deeper, r"but a folder cifar-100-binary that has them; expected that folder as root"),
    "no record": (lambda root: cut(root / "test.bin", 0), r"test\.bin: found 0 bytes"),
    "cut short": (
        lambda root: cut(root / "train.bin", 3074 * 3 + 7),
        r"train\.bin: found 9,229 bytes, which is 3 records and 7 bytes; expected records of 3074 bytes",
    ),
    "cifar 10": (lambda root: cut(root / "train.bin", 3073 * 4), r"a single label are CIFAR-10's"),
    "coarse": (
        lambda root: put(root / "train.bin", 3074 * 4, 20),
        r"train\.bin: found coarse label 20 in record 4 \(1 such records\); expected coarse labels from 0 to 19",
    ),
    "fine": (lambda root: put(root / "test.bin", 1, 200), r"test\.bin: found fine label 200 in record 0"),
    "two homes": (
        lambda root: put(root / "train.bin", first(root, "train", 11), 7),
        r"train\.bin: found fine class 11 in superclass 7, and in superclass 2 \(train\.bin\); expected each",
    ),
    "other homes": (
        lambda root: put(root / "test.bin", first(root, "test", 90), 3),
        r"test\.bin: found fine class 90 in superclass 3, and in superclass 7 \(train\.bin\)",
    ),
    "unlearned": (
        lambda root: put(root / "test.bin", first(root, "test", 90) + 1, 92),
        r"test\.bin: found fine class 92, which train\.bin does not have",
    ),
    "lonely": (
        lambda root: (root / "train.bin").write_bytes((root / "train.bin").read_bytes() + record(5, 60, bytes(3072))),
        r"train\.bin: found a single class, 60, in superclass 5; expected two classes or more",
    ),
    "few names": (
        lambda root: (root / "coarse_label_names.txt").write_text("a\nb\n"),
        r"coarse_label_names\.txt: found 2 names; expected 20 names, one a line",
    ),
    "name twice": (
        lambda root: (root / "coarse_label_names.txt").write_text("a b\na.b\n" + "".join(f"{i}\n" for i in range(18))),
        r"coarse_label_names\.txt: found the name 'a_b' twice",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_file(folder: Path, fault: str) -> None:
    plant, message = FAULTS[fault]
    plant(folder)
    with pytest.raises(DataError, match=message):
        Cifar100Data(root=folder).open()
    findings = check_data(Cifar100Data(root=folder))
    assert findings.rows == ()
    assert 1 <= len(findings.problems) <= 5


def test_a_lonely_class_is_no_fault_where_superclasses_are_no_tasks(folder: Path) -> None:
    FAULTS["lonely"][0](folder)
    splits = Cifar100Data(root=folder, mode="coarse_fine").open()
    assert isinstance(splits.train, SampleDataset)
    assert len(splits.train) + len(splits.val) == 51


def test_the_table_counts_every_task(good: Path) -> None:
    findings = check_data(Cifar100Data(root=good))
    assert findings.columns[:4] == ("task", "classes", "train", "test")
    assert findings.rows == (
        ("coarse_02", "3", "30", "12", "10", "10"),
        ("coarse_07", "2", "20", "8", "10", "10"),
    )
    both = check_data(Cifar100Data(root=good, mode="coarse_fine"))
    assert both.rows == (("coarse", "20", "50", "20", "0", "30"), ("fine", "100", "50", "20", "0", "10"))


@pytest.mark.parametrize("index", [-1, 20])
def test_an_index_outside_is_refused(good: Path, index: int) -> None:
    splits = Cifar100Data(root=good, mode="coarse_fine").open()
    assert isinstance(splits.test, SampleDataset)
    with pytest.raises(IndexError, match=f"picture {index} is not among the 20"):
        splits.test[index]


def test_a_worker_opens_the_file_for_itself(good: Path) -> None:
    _, _, test = by_task(Cifar100Data(root=good).open())
    test["coarse_02"][0]
    packed = pickle.dumps(test["coarse_02"])
    assert len(packed) < 5_000
    assert torch.equal(pickle.loads(packed)[3][0], test["coarse_02"][3][0])


@pytest.mark.parametrize("wrong", [{"val": 0}, {"mode": "fine"}, {"augment": {"pad": -1}}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Cifar100Data(**{"root": "x", **wrong})


def test_settings_read_back_from_plain_data(good: Path) -> None:
    settings = Cifar100Data(root=good, mode="coarse_fine", augment=ShiftMirror(pad=2))
    assert datasets.get("cifar100")(**settings.model_dump(mode="json")) == settings
