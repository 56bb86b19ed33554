"""The losses of a batch in which labels are missing at every level."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from niwaki.errors import ContractError
from niwaki.tasks import Classification, Depth, Regression, Segmentation, SurfaceNormals, task_losses

TASKS = [Segmentation(3), Depth(), Regression(name="age")]


def outputs(seed: int = 0, batch: int = 3) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "segmentation": torch.randn(batch, 3, 4, 4, generator=draw),
        "depth": torch.randn(batch, 1, 4, 4, generator=draw),
        "age": torch.randn(batch, generator=draw),
    }


def targets(seed: int = 0, batch: int = 3) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed + 1)
    return {
        "segmentation": torch.randint(0, 3, (batch, 4, 4), generator=draw),
        "depth": torch.rand(batch, 1, 4, 4, generator=draw) + 1,
        "age": torch.rand(batch, generator=draw),
    }


def test_order_is_the_tasks_and_values_are_each_tasks_own() -> None:
    y, t = outputs(), targets()
    found = task_losses(TASKS, y, t)
    assert list(found) == ["segmentation", "depth", "age"]
    assert found["segmentation"] == pytest.approx(float(F.cross_entropy(y["segmentation"], t["segmentation"])))
    assert found["depth"] == pytest.approx(float(F.l1_loss(y["depth"], t["depth"])))
    assert found["age"] == pytest.approx(float(F.mse_loss(y["age"], t["age"])))


@given(st.integers(0, 200))
def test_a_third_of_the_labels_of_a_third_of_the_samples_missing_is_hand_computed(seed: int) -> None:
    y, t = outputs(seed, 6), targets(seed, 6)
    t["segmentation"][:2].view(2, -1)[:, ::3] = -1  # pixels
    t["depth"][2:4] = 0  # samples
    t["age"][4:] = math.nan
    found = task_losses(TASKS, y, t)
    log_share = y["segmentation"].log_softmax(1)
    terms = [
        -float(log_share[n, label, i, j])
        for n, map_ in enumerate(t["segmentation"].tolist())
        for i, row in enumerate(map_)
        for j, label in enumerate(row)
        if label >= 0
    ]
    kept = [0, 1, 4, 5]
    assert found["segmentation"] == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert found["depth"] == pytest.approx(float((y["depth"] - t["depth"])[kept].abs().mean()), rel=1e-5)
    assert found["age"] == pytest.approx(float((y["age"] - t["age"])[:4].square().mean()), rel=1e-5)


@pytest.mark.parametrize("how", ["missing", "none", "blank"])
def test_a_task_without_labels_in_the_batch_does_not_appear(how: str) -> None:
    y, t = outputs(), dict(targets())
    if how == "missing":
        del t["depth"]
    else:
        t["depth"] = None if how == "none" else torch.zeros(3, 1, 4, 4)  # type: ignore[assignment]
    assert list(task_losses(TASKS, y, t)) == ["segmentation", "age"]


def test_nothing_labelled_is_no_loss_at_all() -> None:
    assert task_losses(TASKS, outputs(), {}) == {}


def test_outputs_may_be_a_tuple_in_task_order_or_have_extra_keys() -> None:
    y, t = outputs(), targets()
    expected = task_losses(TASKS, y, t)
    assert task_losses(TASKS, tuple(y.values()), t) == expected
    assert task_losses(TASKS, y | {"features": torch.zeros(1)}, t) == expected


def test_one_task_needs_no_dicts() -> None:
    y, t = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2, -1, 4])
    found = task_losses([Classification(5)], y, t)
    assert found == {"classification": Classification(5).loss(y, t)}


def test_an_unlabelled_task_needs_no_output() -> None:
    y, t = outputs(), targets()
    del y["depth"], t["depth"]
    assert list(task_losses(TASKS, y, t)) == ["segmentation", "age"]
    assert list(task_losses(TASKS, y, t | {"depth": torch.zeros(3, 1, 4, 4)})) == ["segmentation", "age"]


def test_a_labelled_task_without_output_is_named() -> None:
    y, t = outputs(), targets()
    y["dept"] = y.pop("depth")
    with pytest.raises(
        ContractError, match="task 'depth' has labels in this batch, but no output; the model gave: segm"
    ):
        task_losses(TASKS, y, t)


def test_a_target_of_a_wrong_form_is_named_before_anything_reads_it() -> None:
    with pytest.raises(ContractError, match=r"task 'normals': the target is float32\[3\]"):
        task_losses([SurfaceNormals()], {"normals": torch.zeros(3, 3, 4, 4)}, {"normals": torch.zeros(3)})


def test_several_tasks_want_targets_by_name() -> None:
    with pytest.raises(
        ContractError, match=r"targets are a dict keyed by task \(segmentation, depth, age\); got Tensor"
    ):
        task_losses(TASKS, outputs(), torch.zeros(3))


def test_missing_labels_keep_gradients_clean_all_the_way_into_the_weights() -> None:
    layer = torch.nn.Conv2d(2, 1, 1)
    x = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.full((2, 1, 4, 4), math.nan)
    target[0, 0, 0, 0] = 2.0
    sum(task_losses([Depth()], {"depth": layer(x)}, {"depth": target}).values(), torch.zeros(())).backward()
    assert layer.weight.grad is not None
    assert torch.isfinite(layer.weight.grad).all()
    assert layer.weight.grad.abs().sum() > 0
