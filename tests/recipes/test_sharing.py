"""Another point of a finished run's front: merged again from the networks that were searched, and said how."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from niwaki.cli.app import app
from niwaki.errors import FileError, SettingError
from niwaki.files import load
from niwaki.methods import FilterSharing
from niwaki.recipes import find_recipe, forecast, pick_point, read_front, run_recipe
from niwaki.recipes.reading import read_recipe
from niwaki.recipes.workplace import open_workplace
from niwaki.records import Record
from niwaki.reports import write_report
from niwaki.train import Silent

Finished = tuple[Path, Record]
SHORT = [
    "data.train=40",
    "data.val=10",
    "data.test=20",
    "model.net.channels=[8, 16]",
    "model.net.depths=[1, 1]",
    "method.selector.generations=3",
    "method.selector.choice={kind: calibrated, few: 2}",
    "training={steps: 4, batch_size: 8}",
    "finetune={steps: 2}",
    "latency.rounds=3",
    "latency.runtimes=[eager]",
    "pictures=1",
]


class Counting(Silent):
    """Writes down searches and notes."""

    def __init__(self) -> None:
        self.searches: list[int | None] = []
        self.notes: list[str] = []

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        assert done == 0
        if what == "search":
            self.searches.append(total)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("digits")
    chance = np.random.default_rng(0)
    for folder in ("mnist", "fashion_mnist"):
        (root / folder).mkdir()
        arrays: dict[str, Any] = {}
        for split, count in (("train", 60), ("test", 20)):
            labels = (np.arange(count) % 10).astype(np.uint8)
            noise = chance.integers(0, 60, (count, 28, 28))
            arrays |= {f"x_{split}": (noise + 18 * labels[:, None, None]).astype(np.uint8), f"y_{split}": labels}
        np.savez(root / folder / "some.npz", **arrays)
    out = root / "run"
    watch = Counting()
    record = run_recipe(find_recipe("share_digits_quick", [f"data.root={root}", *SHORT]), out, progress=watch)
    assert watch.searches == [3]  # the rehearsal's is brief, and shows none
    assert sum("beats, hypervolume" in note for note in watch.notes) == 1
    return out, record


def test_the_record_holds_the_front_and_counts_everything(shared: Finished) -> None:
    folder, record = shared
    assert record.sharing is not None
    (front,) = record.sharing.fronts
    assert front == read_front(folder)
    assert len(front.values) > 3
    dense, small = (record.cost[name].whole.bytes for name in ("dense", "small"))
    assert small < dense
    assert len(list((folder / "search").glob("search-*.jsonl"))) == 1
    page = write_report(folder).read_text()
    assert "Shared filters" in page
    assert f"taken: point {front.chosen}" in page


def test_a_forecast_says_that_a_search_decides_the_size(shared: Finished) -> None:
    recipe = read_recipe(shared[0] / "recipe.yaml")
    rates: tuple[Any, ...] = (0.5, "adaptive")
    given, adaptive = (
        forecast(recipe.model_copy(update={"method": FilterSharing(rate=rate, common_start=-1)})).rows()
        for rate in rates
    )
    told = ("", "roughly: a search decides this, of which one generation was taken")
    assert (told in given, told in adaptive) == (False, True)


def test_the_point_that_was_taken_merges_to_the_run_s_own_bank(shared: Finished, tmp_path: Path) -> None:
    folder, record = shared
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    front = read_front(folder)
    picked = pick_point(folder, front.chosen, tmp_path / "same.safetensors")
    assert picked.bytes == record.cost["small"].whole.bytes
    assert picked.training.startswith("none since the networks were merged")
    assert picked.values == dict(zip(front.objectives, front.values[front.chosen], strict=True))
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_another_point_is_another_model_and_loads(shared: Finished, tmp_path: Path) -> None:
    folder, _ = shared
    front = read_front(folder)
    other = next(point for point in range(len(front.bits)) if front.bits[point] != front.bits[front.chosen])
    picked = pick_point(folder, other, tmp_path / "other.safetensors", train=True)
    assert picked.training == "together for 2 steps, as the run trained its own point"
    place = open_workplace(read_recipe(folder / "recipe.yaml"), Silent())
    model = load(place.build(), tmp_path / "other.safetensors").eval()
    first = load(place.build(), folder / "model.safetensors").eval()
    example = torch.rand(2, 1, 28, 28)
    assert not torch.equal(model(example, task="digits")["digits"], first(example, task="digits")["digits"])
    assert 0 <= picked.quality["digits"][picked.primary["digits"]] <= 100


def test_the_command_lists_points_and_says_what_training_one_has(shared: Finished, tmp_path: Path) -> None:
    folder, _ = shared
    listed = CliRunner().invoke(app, ["share", "pick", str(folder)], catch_exceptions=False)
    assert listed.exit_code == 0
    assert f"{read_front(folder).chosen} (taken)" in listed.stdout
    out = tmp_path / "zero.safetensors"
    words = ["share", "pick", str(folder), "--point", "0", "--out", str(out)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "training: none since the networks were merged" in done.stdout
    assert out.exists()


def test_what_can_t_be_picked_is_said(shared: Finished, finished: Finished, tmp_path: Path) -> None:
    folder, record = shared
    with pytest.raises(SettingError, match="no point 9999; its points: 0 to"):
        pick_point(folder, 9999, tmp_path / "none.safetensors")
    with pytest.raises(SettingError, match="holds no search for filters"):
        read_front(finished[0])
    with pytest.raises(FileError, match="holds no finished run"):
        read_front(tmp_path)
    lost = Path(shutil.copytree(folder, tmp_path / "lost"))
    (lost / "checkpoint-dense.safetensors").unlink()
    with pytest.raises(FileError, match="it holds the networks that the run began with"):
        pick_point(lost, 0, tmp_path / "none.safetensors")
    recipe = (lost / "recipe.yaml").read_text()
    kind = "kind: structured_pruning\n  budget:\n    channels: 0.5\n"
    start, _, rest = recipe.partition("method:\n")
    _, _, after = rest.partition("balance:")
    (lost / "recipe.yaml").write_text(f"{start}method:\n  {kind}balance:{after}")
    with pytest.raises(SettingError, match="the run's method is 'structured_pruning'"):
        pick_point(lost, 0, tmp_path / "none.safetensors")
    sharing = record.sharing
    assert sharing is not None
    twice = sharing.model_copy(update={"fronts": sharing.fronts * 2})
    (lost / "record.json").write_text(record.model_copy(update={"sharing": twice}).to_json())
    with pytest.raises(SettingError, match="2 searches, one after the other"):
        read_front(lost)
