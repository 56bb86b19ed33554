import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from niwaki.errors import SettingError
from niwaki.train.picker import EpochPicker

DEPTH = SimpleNamespace(name="depth", primary="abs", directions={"abs": "lower", "delta1": "higher"})
SEG = SimpleNamespace(name="seg", primary="miou", directions={"miou": "higher"})
TASKS: list[Any] = [DEPTH, SEG]


def quality(depth: float, miou: float) -> dict[str, dict[str, float]]:
    return {"depth": {"abs": depth, "delta1": 1 - depth}, "seg": {"miou": miou}}


EPOCHS = [quality(1.0, 10.0), quality(0.5, 8.0), quality(0.9, 14.0), quality(0.8, 10.5)]
# gains of depth 0, .5, .1, .2 and of seg 0, -.2, .4, .05


@pytest.mark.parametrize(
    ("rule", "epoch", "value"),
    [
        ("mean", 2, 0.25),
        ("worst", 2, 0.1),
        ("last", 3, 0.0),
        ("depth.abs", 1, -0.5),
        ("depth.delta1", 1, 0.5),
        ("seg.miou", 2, 14.0),
    ],
)
def test_rules_by_hand(rule: str, epoch: int, value: float) -> None:
    picker = EpochPicker(rule, TASKS)
    offered = [picker.offer(index, each) for index, each in enumerate(EPOCHS)]
    assert offered[epoch]
    assert picker.epoch == epoch
    assert picker.value == pytest.approx(value)
    assert picker.quality is EPOCHS[epoch]


def test_a_given_reference_is_used_instead_of_the_first() -> None:
    picker = EpochPicker("mean", TASKS, reference=quality(0.5, 10.0))
    picker.offer(0, quality(1.0, 10.0))
    assert picker.value == pytest.approx((-1.0 + 0.0) / 2)


def test_what_is_no_number_is_never_better() -> None:
    picker = EpochPicker("mean", TASKS)
    assert picker.offer(0, quality(1.0, 10.0))
    assert not picker.offer(1, quality(math.nan, 99.0))
    assert EpochPicker("seg.miou", TASKS).offer(0, {"depth": {}})  # the first is kept, whatever it is


def test_a_task_that_was_no_number_at_first_does_not_steer() -> None:
    picker = EpochPicker("mean", TASKS)
    picker.offer(0, quality(math.nan, 10.0))
    assert picker.offer(1, quality(5.0, 20.0))
    assert picker.value == pytest.approx(0.5)


def test_forgetting_keeps_the_reference() -> None:
    picker = EpochPicker("mean", TASKS)
    picker.offer(0, EPOCHS[0])
    picker.forget()
    assert picker.offer(1, quality(2.0, 10.0))
    assert (picker.epoch, picker.value) == (1, -0.5)


def test_state_survives_json() -> None:
    picker = EpochPicker("worst", TASKS)
    for index, each in enumerate([quality(math.nan, 3.0), *EPOCHS]):
        picker.offer(index, each)
    again = EpochPicker("worst", TASKS)
    again.load_state(json.loads(json.dumps(picker.state(), allow_nan=False)))
    assert (again.epoch, again.value) == (picker.epoch, picker.value)
    assert repr(again.quality) == repr(picker.quality)  # NaN is not equal to itself
    assert not again.offer(9, EPOCHS[0])
    empty = EpochPicker("worst", TASKS)
    empty.load_state(EpochPicker("worst", TASKS).state())
    assert empty.epoch is None
    assert empty.offer(0, EPOCHS[0])


@pytest.mark.parametrize("rule", ["best", "depth", "depth.miou", "normals.mean", "seg.classes"])
def test_an_unknown_rule_is_answered_with_the_known(rule: str) -> None:
    with pytest.raises(SettingError, match=r"mean, worst, last, depth\.abs, depth\.delta1, seg\.miou"):
        EpochPicker(rule, TASKS)


def test_rules_are_told_in_words() -> None:
    assert "validation" in EpochPicker("mean", TASKS).describe()
    assert "least" in EpochPicker("worst", TASKS).describe()
    assert EpochPicker("last", TASKS).describe() == "last epoch"
    assert "depth.abs" in EpochPicker("depth.abs", TASKS).describe()
