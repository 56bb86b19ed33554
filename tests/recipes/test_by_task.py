"""The recipes of small pictures, shrunk: tasks with inputs of their own, one or several heads, answers in words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import niwaki as nw
from niwaki.contract import Example
from niwaki.recipes import Recipe, find_recipe, forecast, parse_recipe, run_recipe
from niwaki.recipes.samples import first_target, longest, size, spread
from niwaki.recipes.subject import open_subject
from niwaki.recipes.workplace import open_workplace
from niwaki.records import Record
from niwaki.reports import write_report
from niwaki.train import Silent

Finished = tuple[Path, Record]
SHORT = [
    "training={steps: 3, batch_size: 4}",
    "finetune={steps: 2}",
    "latency.rounds=3",
    "pictures=2",
    "method.budget.macs=0.6",
]

QUICK = ["control=false", "export=false", "latency.runtimes=[eager]"]


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three superclasses of two or three classes, each class in one grey of its own."""
    root = tmp_path_factory.mktemp("cifar")
    home = {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 2}
    for name, each in (("train.bin", 8), ("test.bin", 3)):
        records = [bytes([home[fine], fine]) + bytes([30 * fine]) * 3072 for fine in home for _ in range(each)]
        (root / name).write_bytes(b"".join(records))
    return root


@pytest.fixture(scope="module")
def by_task(cifar: Path) -> Recipe:
    changes = [f"data.root={cifar}", "model.channels=[16, 32]", "model.depths=[1, 1]", *SHORT]
    return find_recipe("cifar100x20_quick", changes)


@pytest.fixture(scope="module")
def twenty(by_task: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("runs") / "by_task"
    return folder, run_recipe(by_task, folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("digits")
    rng = np.random.default_rng(0)
    for folder in ("mnist", "fashion_mnist"):
        (root / folder).mkdir()
        counts = {"train": 40, "test": 12}
        images = {f"x_{split}": rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for split, n in counts.items()}
        labels = {f"y_{split}": np.arange(n) % 10 for split, n in counts.items()}
        np.savez(root / folder / f"{folder}.npz", allow_pickle=False, **images, **labels)
    sizes = [f"data.root={root}", "data.train=16", "data.val=6", "data.test=8", "model.channels=[16, 16]"]
    recipe = find_recipe("two_digits_quick", [*sizes, "model.hidden=32", *SHORT, *QUICK])
    return root / "run", run_recipe(recipe, root / "run")


def test_every_task_is_measured_on_its_own_pictures(twenty: Finished) -> None:
    _, record = twenty
    assert set(record.quality["small"]) == {"coarse_00", "coarse_01", "coarse_02"}
    assert record.split == "test"
    # 3 classes of 3 pictures, then 2 of 3: accuracies are whole numbers of pictures
    for task, count in (("coarse_00", 9), ("coarse_01", 6), ("coarse_02", 6)):
        right = record.quality["small"][task]["accuracy"] / 100 * count
        assert right == pytest.approx(round(right), abs=1e-4)
    share = record.cost["small"].whole.macs / record.cost["dense"].whole.macs
    assert 0.4 < share <= 0.6


def test_a_routed_network_is_exported_with_all_its_paths(twenty: Finished, by_task: Recipe) -> None:
    folder, _ = twenty
    place = open_workplace(by_task, Silent())
    small = nw.load(place.build(), folder / "model.safetensors").eval()
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    inputs = place.batch(small, 2)
    assert [example.kwargs["task"] for example in inputs] == place.names
    fed = {port.name: example.args[0].numpy() for port, example in zip(session.get_inputs(), inputs, strict=True)}
    answers = dict(zip([port.name for port in session.get_outputs()], session.run(None, fed), strict=True))
    with torch.no_grad():
        for example, task in zip(inputs, place.names, strict=True):
            torch.testing.assert_close(torch.from_numpy(answers[task]), example.call(small)[task], atol=1e-4, rtol=1e-4)


def test_answers_are_told_in_words(twenty: Finished, by_task: Recipe) -> None:
    folder, _ = twenty
    words = json.loads((folder / "pictures" / "answers.json").read_text())
    assert sorted(words) == [f"coarse_0{task}-{picture}" for task in range(3) for picture in range(2)]
    assert (folder / "pictures" / "coarse_01-1.input.png").exists()
    place = open_workplace(by_task, Silent())
    small = nw.load(place.build(), folder / "model.safetensors").eval()
    assert place.splits.test is not None
    x, targets = place.splits.test["coarse_01"][3]  # the second of two spread over six
    said = words["coarse_01-1"]["coarse_01"]
    assert said["truth"] == [f"fine_0{3 + int(targets['coarse_01'])}", None]
    with torch.no_grad():
        share, place_of = small(x[None], task="coarse_01")["coarse_01"][0].softmax(0).max(0)
    assert said["small"] == [f"fine_0{3 + int(place_of)}", pytest.approx(float(share), abs=1e-5)]


def test_a_finished_run_by_task_is_a_subject(twenty: Finished) -> None:
    subject = open_subject(str(twenty[0]))
    assert isinstance(subject.example, list)
    assert [example.kwargs["task"] for example in subject.example] == subject.tasks


def test_its_report_has_a_card_a_picture(twenty: Finished) -> None:
    text = write_report(twenty[0]).read_text()
    assert text.count('<div class="card">') == 6
    assert "Predictions beside the truth" not in text


def test_a_forecast_counts_the_longest_task(by_task: Recipe) -> None:
    assert by_task.training is not None
    recipe = by_task.model_copy(update={"training": by_task.training.model_copy(update={"steps": None, "epochs": 2})})
    expected = forecast(recipe)
    # 24, 16 and 16 training pictures less a tenth: 22 of the longest task, 5 batches of 4
    assert expected.steps["dense"] == 10
    assert expected.samples == {"train": 22 + 14 + 14, "validation": 6, "test": 21}


def test_two_heads_answer_about_one_picture(two: Finished) -> None:
    folder, record = two
    assert set(record.quality["small"]) == {"left", "right"}
    words = json.loads((folder / "pictures" / "answers.json").read_text())
    assert [sorted(scene) for scene in words.values()] == [["left", "right"]] * 2
    assert words["0"]["left"]["truth"][0] in "0123456789"
    assert len(words["0"]["right"]["truth"][0]) > 2
    assert "<b>" + words["0"]["right"]["truth"][0] in write_report(folder).read_text()


def test_a_task_without_data_of_its_own_is_refused(cifar: Path) -> None:
    recipe = find_recipe(
        "cifar100x20_quick",
        [f"data.root={cifar}", "tasks=[{kind: classification, name: fish, classes: 2}]"],
    )
    with pytest.raises(
        nw.errors.ContractError, match="a task 'fish', but the data has no such target; it has: coarse_00"
    ):
        open_workplace(recipe, Silent())


def test_ones_own_data_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data_of_a_run.py").write_text(
        "import torch\n"
        "from niwaki.data import Splits\n"
        "def sample(i):\n"
        "    targets = {'label': torch.tensor(i % 2)} if i else {}\n"
        "    return torch.rand(3, 16, 16), targets | {'depth': torch.ones(1, 16, 16)}\n"
        "def splits():\n"
        "    some = [sample(i) for i in range(6)]\n"
        "    tasks = ({'kind': 'classification', 'name': 'label', 'classes': 2}, {'kind': 'depth'})\n"
        "    return Splits(train=some, val=some, test=None, tasks=tasks)\n"
    )
    monkeypatch.chdir(tmp_path)
    recipe = parse_recipe(
        "name: mine\n"
        "data: {kind: own, source: 'data_of_a_run:splits'}\n"
        "model: {kind: resnet_unet, width: 0.25, pooled: [label]}\n"
        "method: {kind: structured_pruning, budget: {channels: 0.9}}\n"
        "training: {steps: 1}\n"
        "finetune: {steps: 1}\n"
    )
    place = open_workplace(recipe, Silent())
    assert place.outputs == {"label": 2, "depth": 1}  # the first sample has no label: the second one tells
    assert place.build()(torch.zeros(2, 3, 16, 16))["label"].shape == (2, 2)


def test_a_network_that_is_not_routed_has_one_path(cifar: Path) -> None:
    recipe = find_recipe("cifar100x20_quick", [f"data.root={cifar}", "model={kind: convnet, channels: [16, 16]}"])
    place = open_workplace(recipe, Silent())
    example = place.example(place.build())
    assert isinstance(example, Example)
    assert example.kwargs == {}


def test_samples_of_a_split_by_task() -> None:
    one: Any = [(torch.zeros(1), {"cars": torch.tensor(i)}) for i in range(5)]  # lists do as data sets
    other: Any = [(torch.zeros(1), {}), (torch.zeros(1), {"boats": torch.tensor(7)})]
    split = {"cars": one, "boats": other}
    assert (size(split), longest(split)) == (7, 5)
    assert [name for name, _ in spread(split, 3)] == ["cars-0", "cars-1", "cars-2", "boats-0", "boats-1"]
    assert [name for name, _ in spread(one * 3, 12)][8:11] == ["08", "09", "10"]
    assert first_target(split, "boats") == 7
    assert first_target(split, "planes") is None
