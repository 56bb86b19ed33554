"""What holds of every ready task; a ready task without an entry here fails."""

import math
import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from niwaki.tasks import (
    Classification,
    Depth,
    Evaluation,
    Heatmap,
    Regression,
    Segmentation,
    SurfaceNormals,
    Task,
    ready_tasks,
    task_losses,
)


class Case(NamedTuple):
    """A ready task, and how a prediction, a target and the mark of "no label" look."""

    task: Task
    pred: tuple[int, ...]
    target: Callable[[torch.Generator], Tensor]
    missing: float


def _floats(*shape: int) -> Callable[[torch.Generator], Tensor]:
    return lambda draw: torch.rand(*shape, generator=draw) + 0.1


def _labels(*shape: int) -> Callable[[torch.Generator], Tensor]:
    return lambda draw: torch.randint(0, 5, shape, generator=draw)


def _heat(draw: torch.Generator) -> Tensor:
    heat = torch.rand(4, 2, 6, 6, generator=draw) * 0.9
    heat[:, :, 3, 3] = 1.0
    return heat


CASES = {
    "segmentation": Case(Segmentation(5), (4, 5, 6, 6), _labels(4, 6, 6), -1),
    "depth": Case(Depth(), (4, 1, 6, 6), _floats(4, 1, 6, 6), 0),
    "normals": Case(SurfaceNormals(), (4, 3, 6, 6), _floats(4, 3, 6, 6), 0),
    "classification": Case(Classification(5), (4, 5), _labels(4), -1),
    "regression": Case(Regression(), (4, 3), _floats(4, 3), math.nan),
    "heatmap": Case(Heatmap(), (4, 2, 6, 6), _heat, math.nan),
}


def batch(case: Case, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*case.pred, generator=draw), case.target(draw)


def test_every_ready_task_has_an_entry() -> None:
    assert set(CASES) == set(ready_tasks.names())


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_a_sample_without_labels_is_as_if_it_were_not_there(case: Case) -> None:
    pred, target = batch(case)
    whole = case.task.loss(pred[:3], target[:3])
    target[3] = case.missing
    assert case.task.loss(pred, target) == pytest.approx(float(whole), rel=1e-6)
    some, all_of_it = Evaluation([case.task]), Evaluation([case.task])
    some.update({case.task.name: pred[:3]}, {case.task.name: target[:3]})
    all_of_it.update({case.task.name: pred}, {case.task.name: target})
    assert all_of_it.compute() == some.compute()


def test_a_batch_without_labels_gives_zero_and_zero_gradients(case: Case) -> None:
    pred, target = batch(case)
    target[:] = case.missing
    pred[0] = math.nan  # not even a broken prediction shows through
    pred.requires_grad_()
    loss = case.task.loss(pred, target)
    loss.backward()
    assert loss.item() == 0
    assert pred.grad is not None
    assert (pred.grad == 0).all()
    assert not case.task.has_labels(target)
    assert task_losses([case.task], {case.task.name: pred}, {case.task.name: target}) == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_to_float32_also_under_autocast(case: Case, dtype: torch.dtype) -> None:
    pred, target = batch(case)
    half = pred.to(dtype)
    expected = case.task.loss(half.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.task.loss(half, target)
    assert found.dtype == torch.float32
    assert found == expected


def test_half_precision_predictions_are_measured_in_float32(case: Case) -> None:
    pred, target = batch(case)
    half, full = Evaluation([case.task]), Evaluation([case.task])
    half.update({case.task.name: pred.bfloat16()}, {case.task.name: target})
    full.update({case.task.name: pred.bfloat16().float()}, {case.task.name: target})
    assert half.compute() == full.compute()


def test_gradients_agree_with_differences(case: Case) -> None:
    pred, target = batch(case, seed=3)
    if target.is_floating_point():
        target = target.double()
    target[1] = case.missing
    assert torch.autograd.gradcheck(lambda p: case.task.loss(p, target), (pred.double().requires_grad_(),))


def test_loss_does_not_change_its_inputs(case: Case) -> None:
    pred, target = batch(case)
    target[0] = case.missing
    before = pred.clone(), target.clone()
    case.task.loss(pred, target)
    Evaluation([case.task]).update({case.task.name: pred}, {case.task.name: target})
    assert torch.equal(pred, before[0])
    assert torch.equal(target.nan_to_num(), before[1].nan_to_num())


def test_the_primary_metric_has_a_direction_and_every_metric_a_unit(case: Case) -> None:
    task = case.task
    assert task.directions[task.primary] in ("higher", "lower")
    assert set(task.units) == set(task.readings) >= set(task.directions)


def test_a_task_survives_copies_and_processes(case: Case) -> None:
    for again in (deepcopy(case.task), pickle.loads(pickle.dumps(case.task))):
        assert again == case.task
        pred, target = batch(case)
        assert again.loss(pred, target) == case.task.loss(pred, target)


def test_settings_read_back_to_an_equal_task(case: Case) -> None:
    assert isinstance(case.task, Task)
    settings = case.task.settings  # type: ignore[attr-defined]  # every ready task has them
    plain = settings.model_dump(mode="json")
    again = ready_tasks.get(plain["kind"])(**plain).build()
    assert again == case.task
    assert hash(again) == hash(case.task)
    assert repr(again) == repr(case.task)


def test_pictures_are_rgb_bytes_of_the_maps_size(case: Case) -> None:
    pred, target = batch(case)
    for value in (pred[0], target[0]):
        picture = case.task.draw(value, target[0])
        assert picture is None or (picture.shape == (6, 6, 3) and picture.dtype == "uint8")
