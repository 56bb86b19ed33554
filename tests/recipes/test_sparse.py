"""The sparse recipe, shrunk in everything but the network."""

from pathlib import Path

import pytest
import torch

import niwaki as nw
from niwaki.recipes import Recipe, find_recipe, forecast, run_recipe
from niwaki.recipes.workplace import open_workplace
from niwaki.records import Record
from niwaki.reports import write_report
from niwaki.train import Silent

Finished = tuple[Path, Record]


@pytest.fixture(scope="module")
def sparse() -> Recipe:
    sizes = ["data.size=[32, 32]", "data.train=8", "data.val=4", "data.test=4", "data.cache=false"]
    steps = ["training={steps: 2, batch_size: 4, precision: 32-true}", "finetune={steps: 8}"]
    quick = ["control=false", "export=false", "latency={rounds: 3, runtimes: [eager]}", "pictures=1"]
    return find_recipe("sparse_rooms_quick", [*sizes, *steps, *quick])


@pytest.fixture(scope="module")
def grown(sparse: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("runs") / "sparse"
    return folder, run_recipe(sparse, folder)


def test_the_recipe_asks_for_a_tenth_under_min_max() -> None:
    recipe = find_recipe("sparse_rooms_quick")
    assert (recipe.method.kind, recipe.balance["kind"]) == ("dynamic_sparse", "MinMax")


def test_every_layer_keeps_a_tenth_to_one_weight(grown: Finished) -> None:
    sparsity = grown[1].sparsity
    assert sparsity is not None
    assert all(abs(layer.kept - 0.1 * layer.size) <= 1 for layer in sparsity.layers)
    assert abs(sparsity.kept - 0.1 * sparsity.size) <= 1
    assert any(moment.changed for moment in sparsity.timeline)
    assert "of 2,467,840 weights that can be sparse: 10.00%" in str(grown[1])


def test_the_saved_model_has_those_zeros_and_a_fifth_of_the_dense_bytes(grown: Finished, sparse: Recipe) -> None:
    folder, record = grown
    small, dense = (folder / f"{name}.safetensors" for name in ("model", "dense"))
    assert small.stat().st_size <= 0.2 * dense.stat().st_size
    assert record.file_bytes == {"dense": dense.stat().st_size, "small": small.stat().st_size}
    assert record.totals()["file bytes"] == (dense.stat().st_size, small.stat().st_size)
    assert record.totals()["nonzeros"][1] < 0.11 * record.totals()["params"][1]
    again = nw.load(open_workplace(sparse, Silent()).build(), small)
    weights = dict(again.named_parameters())
    assert record.sparsity is not None
    for layer in record.sparsity.layers:
        assert int(torch.count_nonzero(weights[layer.name])) == layer.nonzeros <= layer.kept


def test_the_report_tells_density_and_that_zeros_are_not_faster(grown: Finished) -> None:
    page = write_report(grown[0]).read_text()
    assert "10.00% of 2,467,840 weights that can be sparse stay" in page
    assert "fewer MACs" not in page
    assert "not zero" in page
    assert "Zeros don&#39;t make dense kernels faster" in page
    assert "what moves at each update" in page


def test_a_forecast_says_how_many_weights_are_not_zero(sparse: Recipe) -> None:
    rows = forecast(sparse).rows()
    assert ("", "100.0% of 2,474,065 parameters stay") in rows
    told = next(text for _, text in rows if text.endswith("of these are not zero"))
    assert float(told.split("%")[0]) == pytest.approx(10.2, abs=0.2)  # norms and biases that are zero at first count
