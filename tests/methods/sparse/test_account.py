"""What a sparse training would cost where zeros are free, against sums by hand."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from niwaki.methods.sparse import DynamicSparse
from niwaki.methods.sparse.account import forward_share

SIZES = {"block.0.weight": 16 * 16 * 9, "deep.0.weight": 24 * 32 * 9}
MACS = {"block.0.weight": 64 * 2304, "deep.0.weight": 64 * 6912}
DENSE = 64 * (16 * 27 + 24 * 5 + 24)


def run_of(trainer: Callable[..., Any], steps: int = 8, **settings: Any) -> Any:
    job = trainer(DynamicSparse(**{"density": 0.25, "every": 2, "until": 0.5, **settings}), steps=steps)
    for _ in range(steps):
        job.step()
    job.run.finish(job.model)
    return job.run.findings()["sparsity"]


def share(kept: dict[str, int]) -> float:
    whole = DENSE + sum(MACS.values())
    return (DENSE + sum(MACS[name] * kept[name] / SIZES[name] for name in SIZES)) / whole


@pytest.mark.parametrize("settings", [{}, {"trunk": 0.1, "heads": 0.5}, {"allocation": "erk"}])
def test_forward_work_is_the_dense_layers_and_the_kept_share_of_the_others(
    settings: dict[str, Any], trainer: Callable[..., Any]
) -> None:
    record = run_of(trainer, **settings)
    kept = {each.name: each.kept for each in record.layers}
    assert record.theoretical.forward == pytest.approx(share(kept))


def test_training_adds_up_all_steps_with_full_gradients_where_weights_grow(trainer: Callable[..., Any]) -> None:
    low, high = share({n: s // 4 for n, s in SIZES.items()}), 0.0
    record = run_of(trainer)  # updates after steps 2 and 4 of 8 need the full gradient
    assert record.theoretical.training == pytest.approx((6 * low + 2 * (2 * low + 1) / 3) / 8)
    random = run_of(trainer, grow="random")
    assert random.theoretical.training == pytest.approx(low)
    over = run_of(trainer, overshoot=0.25)
    high = share({name: size // 4 + size // 16 for name, size in SIZES.items()})
    steps = [low, (2 * low + 1) / 3, high, (2 * high + 1) / 3, low, low, low, low]
    assert over.theoretical.training == pytest.approx(sum(steps) / 8, rel=1e-3)


def test_bytes_of_the_optimizer_are_those_it_holds(
    make_net: Callable[[], nn.Module], trainer: Callable[..., Any]
) -> None:
    parameters = sum(each.numel() for each in make_net().parameters())
    gone = sum(SIZES.values()) * 3 // 4
    job = trainer(DynamicSparse(density=0.25), optimizer="adam")  # amsgrad: three values for each weight
    job.step()
    job.run.finish(job.model)
    found = job.run.findings()["sparsity"].theoretical
    held = sum(value.nbytes for state in job.state.state.values() for value in state.values() if value.ndim)
    assert found.dense_optimizer_bytes == 12 * parameters == held
    assert found.optimizer_bytes == 12 * (parameters - gone)
    assert found.nonzeros == parameters - gone


def test_a_model_without_work_that_is_counted_costs_what_it_costs() -> None:
    class Subject:
        macs = 0
        layers = ()

    assert forward_share(Subject(), {}) == 1.0  # type: ignore[arg-type]  # all that is read of it


def test_a_record_says_what_was_never_sparse_and_its_share(trainer: Callable[..., Any]) -> None:
    record = run_of(trainer, heads={"depth": 0.5})
    assert record.asked == {"trunk": 0.25}
    assert {each.reason for each in record.dense} == {"norm or bias", "reads the model's input", "makes an output"}
    assert sum(record.share(each) for each in record.dense) == pytest.approx(1 - record.kept / record.remaining)
    assert record.target == 0.25
    assert record.density == 2304 / 9216
    whole = sum(SIZES.values()) + sum(each.size for each in record.dense)
    assert record.overall == pytest.approx((2304 + whole - 9216) / whole)
    assert str(record) == (
        "keeps 2,304 of 9,216 weights that can be sparse: 25.00% (25.00% was asked for), 30.20% of all parameters; "
        "23% of what remains was never sparse"
    )
    assert type(record).from_json(record.to_json()) == record
    assert record.parts() == {"trunk": (9216, 2304)}
