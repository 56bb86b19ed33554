import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from PIL import Image

import niwaki as nw
from niwaki.data import RoomsData
from niwaki.errors import ContractError, FileError
from niwaki.files import RUN_FILES
from niwaki.recipes import Recipe, forecast, parse_recipe, run_recipe
from niwaki.recipes.subject import open_subject
from niwaki.recipes.workplace import open_workplace
from niwaki.records import Record
from niwaki.train import Silent

Finished = tuple[Path, Record]


class Watcher(Silent):
    """Stops a run when a stage begins, as a kill would."""

    def __init__(self, stop_at: str) -> None:
        self.stop_at = stop_at

    def note(self, text: str) -> None:
        if text.startswith(self.stop_at):
            raise KeyboardInterrupt


def test_what_the_method_cannot_do_is_told_before_any_training(tmp_path: Path, tiny_text: str) -> None:
    recipe = parse_recipe(tiny_text, overrides=["method.rounds=9"])
    with pytest.raises(ContractError, match="9 rounds between"):
        run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_run_leaves_everything_behind(finished: Finished) -> None:
    folder, record = finished
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert {
        "recipe.yaml",
        "metrics.jsonl",
        "model.safetensors",
        "parent.safetensors",
        "dense.safetensors",
        "model.onnx",
        "record.json",
    } <= there
    assert Record.from_json((folder / "record.json").read_text()).quality == record.quality


def test_the_budget_is_met_within_one_rounding_step(finished: Finished) -> None:
    _, record = finished
    share = record.cost["small"].whole.macs / record.cost["dense"].whole.macs
    assert 0.5 < share <= 0.6
    assert record.plans[0].reached["macs"] == pytest.approx(share)


def test_every_task_is_measured_on_the_test_split_against_a_control(finished: Finished) -> None:
    _, record = finished
    assert record.split == "test"
    assert set(record.quality) == {"parent", "dense", "small"}
    assert set(record.quality["small"]) == {"segmentation", "depth", "normals"}
    assert record.compression.steps == {"dense": 4, "control": 2, "small": 2}
    assert {each.baseline_kind for each in record.delta.values()} <= {"dense_multi_task"}


def test_every_stage_writes_into_one_journal(finished: Finished) -> None:
    folder, _ = finished
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [row["stage"] for row in rows if row["kind"] == "step"]
    assert steps == ["dense"] * 4 + ["control"] * 2 + ["small"] * 2


def test_the_exported_file_answers_as_the_saved_model(finished: Finished, tiny: Recipe) -> None:
    folder, _ = finished
    place = open_workplace(tiny, Silent())
    small = nw.load(place.build(), folder / "model.safetensors").eval()
    x = place.batch(small, 3)[0].args[0]
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {session.get_inputs()[0].name: x.numpy()}), strict=True))
    with torch.no_grad():
        expected = small(x)
    for task, answer in expected.items():
        torch.testing.assert_close(torch.from_numpy(found[task]), answer, atol=1e-3, rtol=1e-3)


def test_predictions_are_drawn_beside_the_truth(finished: Finished) -> None:
    folder, _ = finished
    names = {path.name for path in (folder / "pictures").iterdir()}
    kinds = {
        f"{scene}.{task}.{kind}.png"
        for scene in "01"
        for task in ("segmentation", "depth", "normals")
        for kind in ("truth", "dense", "small")
    }
    assert names == kinds | {"0.input.png", "1.input.png"}
    with Image.open(folder / "pictures" / "0.depth.small.png") as picture:
        assert picture.size == (32, 32)


def test_a_directory_with_a_run_is_not_written_over(finished: Finished, tiny: Recipe) -> None:
    with pytest.raises(FileError, match="holds a run already"):
        run_recipe(tiny, finished[0])


@pytest.mark.parametrize("stage", ["control", "small", "exporting"])
def test_a_stopped_run_goes_on_to_the_same_result(finished: Finished, tiny: Recipe, tmp_path: Path, stage: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_recipe(tiny, tmp_path / "run", progress=Watcher(stage))
    record = run_recipe(tiny, tmp_path / "run", resume=True)
    assert record.quality == finished[1].quality
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (finished[0] / "model.safetensors").read_bytes()


def test_a_run_can_not_be_resumed_with_another_recipe(finished: Finished, tiny_text: str) -> None:
    other = parse_recipe(tiny_text, overrides=["training.lr=0.5"])
    with pytest.raises(FileError, match="lr"):
        run_recipe(other, finished[0], resume=True)


def test_a_forecast_names_steps_time_disk_and_the_reachable_budget(tiny: Recipe) -> None:
    expected = forecast(tiny)
    assert expected.steps == {"dense": 4, "control": 2, "small": 2}
    assert expected.small.whole.macs < 0.6 * expected.dense.whole.macs
    rows = dict(expected.rows())
    assert rows["budget"].startswith("reachable: 5")
    assert "MiB on disk" in rows["all told"]


def test_a_forecast_counts_the_models_that_cuts_leave(tiny: Recipe) -> None:
    once, twice = (
        forecast(tiny.model_copy(update={"method": tiny.method.model_copy(update={"rounds": rounds, "until": 1.0})}))
        for rounds in (1, 2)
    )
    ends = (once.dense.whole.bytes, once.small.whole.bytes)
    assert twice.small.whole.bytes == ends[1]
    assert twice.disk_bytes - once.disk_bytes == sum(ends) // 2  # the one in the middle


def test_a_forecast_counts_what_the_data_keeps(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIWAKI_CACHE", str(tmp_path))
    data = RoomsData.model_validate(tiny.data.model_dump())
    kept, drawn = (
        forecast(tiny.model_copy(update={"data": data.model_copy(update={"cache": cache})})).disk_bytes
        for cache in (True, False)
    )
    assert kept - drawn == (data.train + data.val + data.test) * 9 * data.size[0] * data.size[1]


def test_a_task_without_a_target_is_refused(tiny_text: str) -> None:
    recipe = parse_recipe(tiny_text, overrides=["tasks=[{kind: regression, name: area}]"])
    with pytest.raises(ContractError, match="a task 'area', but the data has no such target; it has: segmentation"):
        open_workplace(recipe, Silent()).build()


def test_a_finished_run_is_a_subject(finished: Finished) -> None:
    subject = open_subject(str(finished[0]))
    assert list(subject.models) == ["dense", "small"]
    assert subject.tasks == ["segmentation", "depth", "normals"]


def test_a_model_of_ones_own_is_a_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Conv2d(3, 16, 1)\ndef number():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    subject = open_subject("my_nets:make", shape=(1, 3, 8, 8))
    assert subject.models["model"](subject.example.args[0]).shape == (1, 16, 8, 8)
    with pytest.raises(ContractError, match="returned int; expected a torch.nn.Module"):
        open_subject("my_nets:number", shape=(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("target", "how", "error", "message"),
    [
        ("nowhere", {}, FileError, "nowhere is no run directory; give one, or a model as package.module:callable"),
        ("json:loads", {}, ContractError, "needs the shape of its input"),
        ("json:nothing", {"shape": (1,)}, ContractError, "json:nothing can't be imported"),
    ],
)
def test_anything_else_is_no_subject(target: str, how: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_subject(target, **how)


def test_an_unfinished_run_is_no_subject(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no finished run: recipe.yaml is missing"):
        open_subject(str(tmp_path))


def test_a_finished_run_is_known_by_the_names_of_the_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUN_FILES, "dense", "parent.safetensors")
    (tmp_path / "recipe.yaml").touch()
    with pytest.raises(FileError, match="holds no finished run: parent.safetensors is missing"):
        open_subject(str(tmp_path))
