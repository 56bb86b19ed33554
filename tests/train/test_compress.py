"""compress: a small model and an honest record."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from niwaki.balance import Uncertainty
from niwaki.errors import BudgetError
from niwaki.methods.prune import StructuredPruning
from niwaki.records import Record, delta
from niwaki.settings import Budget
from niwaki.surgery import plans_of
from niwaki.tasks import Task
from niwaki.train import Baseline, Training, compress, evaluate, fit

SameBits = Callable[[nn.Module, nn.Module], bool]
HALF = StructuredPruning(budget=Budget(channels=0.5), round_to=2, floor=2)
SETTINGS = Training(epochs=2, lr=1e-2, batch_size=4, precision="32-true", seed=4)


@pytest.fixture
def dense(net: nn.Module, tasks: list[Task], squares: Any) -> nn.Module:
    longer = SETTINGS.model_copy(update={"epochs": 40, "lr": 3e-2})  # so that no metric is zero
    return fit(net, tasks, squares, training=longer).model


def test_the_record_says_what_can_be_measured_again(
    dense: nn.Module, tasks: list[Task], squares: Any, make_squares: Callable[..., Any], same_bits: SameBits
) -> None:
    val, before = make_squares(6, seed=1), deepcopy(dense)
    result = compress(dense, tasks, squares, val, method=HALF, training=SETTINGS, balance=Uncertainty())
    record = result.record
    assert same_bits(dense, before)
    assert record.quality == {
        "dense": evaluate(dense, tasks, val, batch_size=4),
        "small": evaluate(result.model, tasks, val, batch_size=4),
    }
    for name, model in (("dense", dense), ("small", result.model)):
        assert record.cost[name].whole.params == sum(each.numel() for each in model.parameters())
        assert set(record.cost[name].heads) == {"segmentation", "depth"}
    for convention, found in record.delta.items():
        expected = delta(
            record.quality["small"],
            record.quality["dense"],
            tasks,
            convention=convention,  # type: ignore[arg-type]  # a key of the record is one
            baseline_kind="dense_multi_task",
        )
        assert found == expected
    assert set(record.delta) == {"m", "p", "mtl", "T_sum", "T"}
    assert [plan.to_json() for plan in record.plans] == [_as_record(plan) for plan in plans_of(result.model)]
    assert record.primary == {"segmentation": "miou", "depth": "abs"}
    assert record.compression.steps == {"training": 6}
    assert record.compression.seconds["compress"] >= record.compression.seconds["training"] > 0
    assert (record.seed, record.split, record.protocol) == (4, "validation", "pixel")
    assert record.recipe["balance"]["kind"] == "UW"
    assert record.recipe["method"]["kind"] == "structured_pruning"
    assert Record.from_json(record.to_json()) == record
    assert "segmentation" in str(record)


def _as_record(plan: Any) -> str:
    from niwaki.records import Plan

    return Plan(**{name: getattr(plan, name) for name in Plan.model_fields}).to_json()


def test_it_is_fit_with_the_given_models_quality_as_reference(
    dense: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    reference = evaluate(dense, tasks, squares, batch_size=4)
    fitted = fit(dense, tasks, squares, squares, training=SETTINGS, method=HALF, reference=reference)
    result = compress(dense, tasks, squares, squares, training=SETTINGS, method=HALF)
    assert same_bits(fitted.model, result.model)
    assert result.record.picked_by == fitted.picked_by
    assert (result.fitted.epoch, result.fitted.history) == (fitted.epoch, fitted.history)


@pytest.mark.parametrize("distill", [True, {"depth": 0.5}])
def test_a_model_that_is_cut_at_the_start_learns_from_the_whole_one(
    distill: Any, dense: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path, same_bits: SameBits
) -> None:
    settings = SETTINGS.model_copy(update={"distill": distill, "seed": 2})
    result = compress(dense, tasks, squares, squares, method=HALF, training=settings, out=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    taught = {name for row in rows for name in row.get("extra", {})}
    assert taught == ({"distill.depth"} if isinstance(distill, dict) else {"distill.depth", "distill.segmentation"})
    assert result.model.get_parameter("trunk.0.weight").shape[0] == 4
    assert result.record.recipe["training"]["distill"] == distill
    given = compress(dense, tasks, squares, squares, method=HALF, training=settings, teacher=deepcopy(dense))
    assert same_bits(given.model, result.model)


def test_a_test_split_and_a_baseline_of_its_own(
    dense: nn.Module, tasks: list[Task], squares: Any, make_squares: Callable[..., Any]
) -> None:
    test = make_squares(5, seed=2)
    control = {"segmentation": {"miou": 50.0}, "depth": {"abs": 2.0}}
    record = compress(
        dense,
        tasks,
        squares,
        squares,
        method=HALF,
        training=SETTINGS,
        baseline=Baseline(control, "published:me"),
        test_data=test,
        protocol="mtan",
    ).record
    assert record.quality["dense"] == control
    assert record.quality["parent"] == evaluate(dense, tasks, test, batch_size=4, protocol="mtan")
    assert (record.split, record.protocol) == ("test", "mtan")
    assert {each.baseline_kind for each in record.delta.values()} == {"published:me"}


def test_a_delta_that_can_not_be_taken_is_told(dense: nn.Module, tasks: list[Task], squares: Any) -> None:
    zero = Baseline({"segmentation": {"miou": 0.0}, "depth": {"abs": 2.0}})
    record = compress(dense, tasks, squares, squares, method=HALF, training=SETTINGS, baseline=zero).record
    assert record.delta == {}
    assert any("no delta mtl" in note and "miou" in note for note in record.compression.notes)


def test_a_killed_compression_goes_on(
    dense: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits, tmp_path: Path
) -> None:
    class Kill:
        steps = 0

        def begin(self, what: str, total: int | None, done: int = 0) -> None:
            self.what = what

        def advance(self, count: int = 1, **values: float) -> None:
            self.steps += "loss" in values
            if self.steps == 5:
                raise InterruptedError

        def note(self, text: str) -> None:
            pass

        def end(self) -> None:
            pass

    whole = compress(dense, tasks, squares, squares, method=HALF, training=SETTINGS)
    with pytest.raises(InterruptedError):
        compress(dense, tasks, squares, squares, method=HALF, training=SETTINGS, out=tmp_path, progress=Kill())
    again = compress(dense, tasks, squares, squares, method=HALF, training=SETTINGS, out=tmp_path, resume=True)
    assert same_bits(whole.model, again.model)
    assert again.record.quality == whole.record.quality


def test_a_budget_out_of_reach_says_so_before_any_training(dense: nn.Module, tasks: list[Task], squares: Any) -> None:
    tiny = StructuredPruning(budget=Budget(params=3), round_to=2, floor=2)
    with pytest.raises(BudgetError):
        compress(dense, tasks, squares, squares, method=tiny, training=SETTINGS)


def test_evaluation_leaves_the_model_alone(
    dense: nn.Module, tasks: list[Task], squares: Any, same_bits: SameBits
) -> None:
    dense.train()
    dense.get_submodule("trunk.0").eval()
    before = deepcopy(dense)
    state = torch.get_rng_state()
    first = evaluate(dense, tasks, squares, batch_size=5)
    second = evaluate(dense, tasks, squares, batch_size=3, num_workers=1)
    for task, metrics in first.items():
        assert second[task] == pytest.approx(metrics, rel=1e-6)
    assert same_bits(dense, before)
    assert [a.training for a in dense.modules()] == [b.training for b in before.modules()]
    assert torch.equal(state, torch.get_rng_state())
