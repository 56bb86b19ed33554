import pickle
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from niwaki.data import Augment, Augmented, Rooms, RoomsData, check_data, datasets
from niwaki.data.rooms.settings import ROOMS_TASKS
from niwaki.errors import DataError, SettingError
from niwaki.tasks import build_tasks

SIZE = (24, 32)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIWAKI_CACHE", str(tmp_path / "cache"))


def rooms(**values: object) -> RoomsData:
    return RoomsData(**{"size": SIZE, "train": 4, "val": 3, "test": 2, **values})


def test_samples_have_the_shapes_and_dtypes_of_the_contract() -> None:
    image, targets = rooms().open().train[0]
    assert (image.shape, image.dtype) == ((3, *SIZE), torch.float32)
    assert image.min() >= 0
    assert image.max() <= 1
    assert (targets["segmentation"].shape, targets["segmentation"].dtype) == (SIZE, torch.int64)
    assert (targets["depth"].shape, targets["depth"].dtype) == ((1, *SIZE), torch.float32)
    assert (targets["normals"].shape, targets["normals"].dtype) == ((3, *SIZE), torch.float32)


def test_the_tasks_are_ready_tasks_named_like_the_targets() -> None:
    opened = rooms().open()
    assert [task.name for task in build_tasks(opened.tasks)] == list(opened.train[0][1])
    assert opened.tasks == ROOMS_TASKS


def test_the_cache_changes_no_value() -> None:
    kept, drawn = rooms().open(), rooms(cache=False).open()
    for index in range(4):
        for one, other in zip(kept.train[index][1].values(), drawn.train[index][1].values(), strict=True):
            assert torch.equal(one, other)
        assert torch.equal(kept.train[index][0], drawn.train[index][0])


def test_no_room_is_in_two_splits() -> None:
    opened = rooms(cache=False).open()
    assert opened.test is not None
    images = [
        each[i][0].numpy().tobytes() for each in (opened.train, opened.val, opened.test) for i in range(len(each))
    ]
    assert len(set(images)) == 9


def test_more_rooms_keep_the_first_ones() -> None:
    few, many = rooms().open().train, rooms(train=9).open().train
    assert torch.equal(few[3][0], many[3][0])


def test_there_may_be_no_test_split() -> None:
    assert rooms(test=0).open().test is None


def test_a_loader_with_workers_reads_the_cache() -> None:
    train = rooms().open().train
    assert isinstance(train, Rooms)
    assert torch.equal(train[1][0], pickle.loads(pickle.dumps(train))[1][0])
    batches = list(DataLoader(train, batch_size=2, num_workers=1))
    assert torch.equal(batches[1][1]["depth"][1], train[3][1]["depth"])


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_outside_is_refused(index: int) -> None:
    with pytest.raises(IndexError, match=f"room {index} is not among the 4"):
        rooms(cache=False).open().train[index]


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    rooms().open(progress=lambda *step: told.append(step))
    assert told[0] == ("rooms (train)", 1, 4)
    assert told[-1] == ("rooms (test)", 2, 2)


def test_augmentation_is_for_training_only() -> None:
    opened = rooms(augment=Augment()).open()
    assert isinstance(opened.train, Augmented)
    assert isinstance(opened.val, Rooms)


def test_disk_is_counted() -> None:
    settings = rooms()
    settings.open()
    files = Path(settings_cache()).rglob("*.npy")
    assert sum(file.stat().st_size for file in files) - settings.cache_bytes == 3 * 128
    assert rooms(cache=False).cache_bytes == 0


def settings_cache() -> Path:
    from niwaki.atomic import cache_folder

    return cache_folder()


@pytest.mark.parametrize("wrong", [{"size": (4, 32)}, {"train": 0}, {"seed": -1}, {"rooms": 3}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        rooms(**wrong)


def test_settings_read_back_from_plain_data() -> None:
    settings = rooms(augment=Augment(mirror=0.25))
    assert datasets.get("rooms")(**settings.model_dump(mode="json")) == settings


def test_check_data_tells_what_is_there() -> None:
    findings = check_data(rooms(train=60))
    table = [dict(zip(findings.columns, row, strict=True)) for row in findings.rows]
    assert [row["split"] for row in table] == ["train", "", "", "val", "", "", "test", "", ""]
    assert table[0]["samples"] == "60 (48 read)"
    assert table[0]["size"] == "24x32"
    assert (table[2]["task"], table[2]["labelled"]) == ("normals", "100.0%")
    assert sum(findings.splits[0].histograms["segmentation"].values()) == pytest.approx(1)
    assert findings.problems == ()


def test_a_full_disk_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NIWAKI_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="NIWAKI_CACHE"):
        rooms().open()
