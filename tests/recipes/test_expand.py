"""The recipes of overparameterised training, shrunk in everything but the network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import niwaki as nw
from niwaki.errors import RecipeError, SettingError
from niwaki.recipes import Recipe, find_recipe, forecast, run_recipe
from niwaki.recipes.forecast import _share_before_cuts, _typical
from niwaki.recipes.workplace import open_workplace
from niwaki.records import Record
from niwaki.reports import write_report
from niwaki.train import Silent
from niwaki.train.guard import StepFigures
from niwaki.train.loop import Loop

Finished = tuple[Path, Record]
TINY = [
    "data.size=[32, 32]",
    "data.train=8",
    "data.val=4",
    "data.test=4",
    "data.cache=false",
    "latency={rounds: 3, runtimes: [eager]}",
    "pictures=1",
]


def shrunk(name: str, *more: str) -> Recipe:
    return find_recipe(name, [*TINY, *more])


@pytest.fixture(scope="module")
def expanded(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("runs") / "expand"
    recipe = shrunk("expand_rooms_quick", "finetune={steps: 4, batch_size: 4, select: last}", "export=false")
    return folder, run_recipe(recipe, folder)


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("runs") / "chain"
    recipe = shrunk("chain_rooms_quick", "finetune={steps: 30, batch_size: 4, precision: 32-true, select: last}")
    return folder, run_recipe(recipe, folder)


def test_the_small_network_costs_what_the_plain_one_costs(expanded: Finished) -> None:
    dense, small = (expanded[1].cost[name].whole for name in ("dense", "small"))
    assert (small.params, small.macs, small.bytes) == (dense.params, dense.macs, dense.bytes)


def test_the_folds_difference_stands_in_the_record_and_the_report(expanded: Finished) -> None:
    folder, record = expanded
    assert record.folding is not None
    assert set(record.folding.differences) == {"segmentation", "depth", "normals"}
    assert 0 < record.folding.largest_difference < 1e-3
    assert Record.from_json((folder / "record.json").read_bytes()).folding == record.folding
    assert "Trained as overparam" in write_report(folder).read_text()


def test_both_networks_trained_from_the_same_weights_for_as_many_steps(expanded: Finished) -> None:
    folder, record = expanded
    assert record.compression.steps == {"control": 4, "small": 4}
    assert not (folder / "checkpoint-dense.safetensors").exists()
    assert record.quality.keys() == {"dense", "small", "parent"}


def test_the_forecast_knows_no_parent_and_times_the_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    stepped: list[int] = []
    take = Loop.take

    def watched(loop: Loop, raw: Sequence[Any]) -> list[StepFigures]:
        stepped.append(sum(each.numel() for each in loop.trainee.model.parameters()))
        return take(loop, raw)

    monkeypatch.setattr(Loop, "take", watched)
    found = forecast(shrunk("expand_rooms_quick", "finetune={steps: 4, batch_size: 4}"))
    assert found.steps == {"control": 4, "small": 4}
    assert found.dense.whole.params == found.small.whole.params
    plain = sum(each.numel() for each in open_workplace(shrunk("expand_rooms_quick"), Silent()).build().parameters())
    assert len(stepped) == 8  # of control and the factors, which stay to the end; an epoch has two
    assert stepped[:4] == [plain] * 4
    assert min(stepped[4:]) > plain


def test_a_forecast_weighs_the_steps_before_and_after_the_cuts() -> None:
    budget = nw.Budget(macs=0.5)
    assert _share_before_cuts(nw.Overparam(), 100) == 1
    assert _share_before_cuts(nw.StructuredPruning(budget=budget, rounds=1), 100) == 0
    assert _share_before_cuts(nw.StructuredPruning(budget=budget, rounds=4, begin=0.0, until=0.8), 100) == 0.5


@pytest.mark.parametrize(("seconds", "typical"), [([9.0], 9), ([9.0, 1.0], 1), ([9.0, 1.0, 2.0, 8.0], 2)])
def test_a_forecast_leaves_out_the_first_step_where_there_are_others(seconds: list[float], typical: float) -> None:
    assert _typical(seconds) == typical


def test_a_chain_of_three_gives_one_plain_network_that_exports(chained: Finished) -> None:
    folder, record = chained
    dense, small = (record.cost[name].whole for name in ("dense", "small"))
    assert small.macs <= 0.5 * dense.macs
    assert record.folding is not None
    assert record.sparsity is not None
    assert small.nonzeros < 0.5 * small.params
    assert record.exported is not None
    assert (folder / "model.onnx").exists()
    recipe = shrunk("chain_rooms_quick", "finetune={steps: 30}")
    again = nw.load(open_workplace(recipe, Silent()).build(), folder / "model.safetensors")
    held = sum(int(each.count_nonzero()) for each in again.parameters())
    assert held == small.nonzeros
    assert not any(torch.nn.utils.parametrize.is_parametrized(each) for each in again.modules())


@pytest.mark.parametrize("more", ["control=false", "sensitivity=2"])
def test_random_weights_are_nothing_to_compare_with(more: str) -> None:
    with pytest.raises((RecipeError, SettingError), match="nothing to compare with"):
        find_recipe("expand_rooms_quick", [more])
