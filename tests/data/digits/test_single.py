"""Small pictures by task: each comes through as written, turned where asked, and no split shares one with another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from niwaki.data import DigitsByTask, SampleDataset, Splits, check_data
from niwaki.errors import DataError, SettingError

TASKS = {"digits": "mnist", "turned": {"folder": "mnist", "turns": 1}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    (folder / "mnist").mkdir()
    chance = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", 60), ("test", 20)):
        images = chance.integers(0, 200, (count, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = np.arange(count)
        arrays |= {f"x_{split}": images, f"y_{split}": (np.arange(count) % 10).astype(np.uint8)}
    np.savez(folder / "mnist" / "mnist.npz", **arrays)
    return folder


def _test(splits: Splits[dict[str, SampleDataset]]) -> dict[str, SampleDataset]:
    assert splits.test is not None
    return splits.test


def _marks(data: DigitsByTask, split: str, task: str) -> list[int]:
    samples = getattr(data.open(), split)[task]
    images = [samples[index][0][0] for index in range(len(samples))]
    return [round(255 * float(torch.rot90(image, -1 if task == "turned" else 0)[0, 0])) for image in images]


def test_pictures_come_with_the_label_of_their_task(root: Path) -> None:
    splits = DigitsByTask(root=root, tasks=TASKS, train=50, val=10).open()
    for task in TASKS:
        image, labels = _test(splits)[task][13]
        assert list(labels) == [task]
        assert int(labels[task]) == 3
        assert image.shape == (1, 28, 28)
        assert image.dtype == torch.float32
    assert torch.equal(_test(splits)["turned"][0][0], torch.rot90(_test(splits)["digits"][0][0], 1, (1, 2)))
    assert splits.tasks[1] == {"kind": "classification", "name": "turned", "classes": 10}
    assert splits.classes["digits"][7] == "7"


def test_no_picture_is_in_two_splits(root: Path) -> None:
    data = DigitsByTask(root=root, tasks=TASKS, train=50, val=10)
    for task in TASKS:
        learn, pick = _marks(data, "train", task), _marks(data, "val", task)
        assert (len(learn), len(pick)) == (50, 10)
        assert sorted(learn + pick) == list(range(60))
        assert _marks(data, "test", task) == list(range(20))


def test_a_task_takes_no_more_than_asked(root: Path) -> None:
    splits = DigitsByTask(root=root, tasks=TASKS, train=20, val=5, test=7).open()
    assert [len(split["digits"]) for split in (splits.train, splits.val, _test(splits))] == [20, 5, 7]


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        DigitsByTask(root=root, tasks={"a": "kmnist"}).open()
    with pytest.raises(DataError, match=r"--set data.root=DIR"):
        DigitsByTask(root=tmp_path / "none", tasks=TASKS).open()
    assert check_data(DigitsByTask(root=tmp_path / "none", tasks=TASKS)).problems
    with pytest.raises(SettingError):
        DigitsByTask(root=root, tasks={})
    with pytest.raises(SettingError):
        DigitsByTask(root=root, tasks={"a": {"folder": "mnist", "turns": 4}})
    with pytest.raises(IndexError, match="picture 99"):
        _test(DigitsByTask(root=root, tasks=TASKS).open())["digits"][99]


def test_classes_are_counted(root: Path) -> None:
    found = check_data(DigitsByTask(root=root, tasks=TASKS))
    assert not found.problems
    assert "turned (mnist)" in str(found)


def test_settings_survive_plain_data(root: Path) -> None:
    data = DigitsByTask(root=root, tasks=TASKS)
    assert DigitsByTask(**data.model_dump(mode="json")) == data
