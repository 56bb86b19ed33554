"""Data out of the user's own code: good splits are taken as they are, and each fault is named with its place."""

from pathlib import Path
from typing import Any

import pytest

from niwaki.data import OwnData, check_data, datasets
from niwaki.errors import DataError, SettingError

CODE = """\
import torch
from torch.utils.data import DataLoader
from niwaki.data import Splits

TASKS = ({"kind": "classification", "name": "breed", "classes": 3}, {"kind": "depth"})


def sample(i):
    x = torch.full((3, 4, 6), i / 10)
    targets = {"breed": torch.tensor(i % 3), "depth": torch.full((1, 4, 6), float(i))}
    if i % 2:
        del targets["breed"]
    return x, targets


def samples(count):
    return [sample(i) for i in range(count)]


def together(count=6):
    return Splits(train=samples(count), val=samples(3), test=None, tasks=TASKS, notes=("mine",))


def by_task():
    own = {"breed": [(x, {"breed": torch.tensor(1)}) for x, _ in samples(4)], "depth": samples(2)}
    return Splits(train=own, val=own, test=own, tasks=TASKS, classes={"breed": ("pug", "poodle", "boxer")})


def vectors():
    tasks = ({"kind": "classification", "name": "breed", "classes": 3}, {"kind": "regression", "name": "age"})
    both = [(torch.zeros(7), {"breed": torch.tensor(i % 3), "age": torch.tensor([float(i)])}) for i in range(6)]
    return Splits(train=both, val=both[:2], test=None, tasks=tasks)


def number():
    return 3


def one(wrong):
    return Splits(train=[wrong], val=samples(1), test=None, tasks=TASKS)


def loader():
    return Splits(train=DataLoader(samples(2)), val=samples(1), test=None, tasks=TASKS)


def empty():
    return Splits(train=samples(1), val=[], test=None, tasks=TASKS)


def bare():
    return one(torch.zeros(3))


def bytes_():
    return one((torch.zeros(3, 4, 6, dtype=torch.uint8), {}))


def array():
    return one((torch.zeros(3, 4, 6).numpy(), {}))


def nan():
    return one((torch.full((3, 4, 6), torch.nan), {}))


def label_above():
    return one((torch.zeros(3, 4, 6), {"breed": torch.tensor(3)}))


def label_of_floats():
    return one((torch.zeros(3, 4, 6), {"breed": torch.tensor(1.0)}))


def label_as_number():
    return one((torch.zeros(3, 4, 6), {"breed": 1}))


def unlabelled():
    return one((torch.zeros(3, 4, 6), {"breed": torch.tensor(-1)}))
"""


@pytest.fixture(autouse=True)
def _my_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_data_of_a_test.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)


def own(function: str, **options: Any) -> OwnData:
    return OwnData(source=f"my_data_of_a_test:{function}", options=options)


def test_good_splits_are_taken_as_they_are() -> None:
    splits = own("together", count=9).open()
    assert (len(splits.train), len(splits.val), splits.test) == (9, 3, None)
    assert splits.train[2][1]["breed"] == 2
    assert own("unlabelled").open().tasks == splits.tasks


def test_the_table_shows_what_lacks_labels() -> None:
    rows = check_data(own("together")).rows
    assert [(row[0], row[2], row[4]) for row in rows] == [
        ("train", "breed", "50.0%"),
        ("", "depth", "83.3%"),  # a depth of 0 is none
        ("val", "breed", "66.7%"),
        ("", "depth", "66.7%"),
    ]


def test_data_by_task_has_a_table_a_task() -> None:
    findings = check_data(own("by_task"))
    assert [(each.split, each.samples, list(each.labelled)) for each in findings.splits[:2]] == [
        ("train[breed]", 4, ["breed"]),
        ("train[depth]", 2, ["depth"]),
    ]
    assert findings.rows[0][3] == "1 of 3 classes: poodle 100%"
    assert len(own("by_task").open().train) == 2


def test_inputs_may_be_vectors() -> None:
    findings = check_data(own("vectors"))
    assert findings.rows[:2] == (
        ("train", "7", "breed", "3 of 3 classes: 0 33%, 1 33%, 2 33%", "100.0%", "6"),
        ("", "", "age", "0.00 to 5.00", "100.0%", ""),
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", r"my_data_of_a_test:nothing can't be imported: .* write it as package\.module:callable"),
        ("number", r"my_data_of_a_test:number returned int; expected niwaki\.data\.Splits"),
        ("loader", r"loader train: found a DataLoader; expected a data set: it has a length, and items are samples"),
        ("empty", r"empty val: found no sample; expected at least one"),
        ("bare", r"bare train\[0\]: found a Tensor; expected \(x, \{task: target\}\)"),
        ("bytes_", r"bytes_ train\[0\]: found x of torch\.uint8; expected x as a floating tensor"),
        ("array", r"array train\[0\]: found x of type ndarray"),
        ("nan", r"nan train\[0\]: found NaN or infinite values in x; expected finite values"),
        ("label_above", r"train\[0\] breed: found labels from 3 to 3; expected labels from 0 to 2"),
        ("label_of_floats", r"train\[0\] breed: found labels of torch\.float32; expected whole numbers"),
        ("label_as_number", r"train\[0\]: found breed: a int; expected a tensor"),
    ],
)
def test_each_fault_is_named_with_its_place(function: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        own(function).open()


def test_a_fault_is_a_problem_in_the_table() -> None:
    findings = check_data(own("label_above"))
    assert findings.rows == ()
    assert findings.problems[0].file.endswith("train[0] breed")


def test_a_source_without_a_function_is_refused() -> None:
    with pytest.raises(DataError, match=r"'my_data' names no code; write it as package\.module:callable"):
        OwnData(source="my_data").open()
    with pytest.raises(SettingError, match="source"):
        OwnData(source="")


def test_settings_read_back_from_plain_data() -> None:
    settings = own("together", count=3)
    assert datasets.get("own")(**settings.model_dump(mode="json")) == settings
