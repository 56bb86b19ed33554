import numpy as np
import pytest

from niwaki.errors import ContractError, SettingError
from niwaki.methods.share.search.choice import Calibrated, Knee, Weighted, knee, scalarised

FRONT = np.array([[0.0, 10.0], [1.0, 4.0], [2.0, 2.0], [6.0, 1.0], [10.0, 0.0]])
NAMES = ("importance", "reconstruction")


def test_the_knee_is_nearest_to_the_ideal_whatever_the_scales() -> None:
    assert knee(FRONT) == 2
    assert knee(FRONT * [1, 1000] + [5, -3]) == 2


def test_opposites_meet_in_the_middle() -> None:
    size = np.linspace(0, 1, 11)
    assert knee(np.stack([size, 1 - size], axis=1)) == 5


def test_an_objective_that_never_changes_does_not_count() -> None:
    assert knee(np.concatenate([FRONT, np.ones((5, 1))], axis=1)) == 2


def test_hollows_of_a_front_are_reached() -> None:
    hollow = np.array([[0.0, 1.0], [0.7, 0.7], [1.0, 0.0]])
    assert scalarised(hollow, np.ones(2)) == 1
    assert all(np.argmin(hollow @ [w, 1 - w]) != 1 for w in np.linspace(0, 1, 21))


def test_weights_lean_to_an_objective() -> None:
    assert Weighted(weights={"importance": 9, "reconstruction": 1}).pick(NAMES, FRONT, None) == (
        1,
        "weights: importance 9, reconstruction 1",
    )
    assert Weighted(weights={"reconstruction": 1}).pick(NAMES, FRONT, None)[0] == 4


def test_a_weight_for_nothing_is_refused() -> None:
    with pytest.raises(ContractError, match="'reconstuction', which is no objective .* did you mean 'reconstruction'"):
        Weighted(weights={"reconstuction": 1}).pick(NAMES, FRONT, None)
    with pytest.raises(SettingError):
        Weighted(weights={})


def test_the_few_are_judged_and_the_worst_task_decides() -> None:
    asked: list[int] = []

    def judge(point: int) -> dict[str, float]:
        asked.append(point)
        return {"a": 1.0 if point == 4 else 2.0, "b": {1: 1.2}.get(point, 3.0)}

    assert Calibrated().pick(NAMES, FRONT, judge)[0] == 1
    assert asked[0] == knee(FRONT)
    assert len(asked) == len(set(asked)) == 4
    asked.clear()
    assert Calibrated(few=2).pick(NAMES, FRONT, judge)[1] == "best of 2 by calibration loss"
    assert len(asked) == 2


def test_no_larger_than_the_knee_is_judged() -> None:
    front = np.array([[0.0, 1.0], [0.3, 0.5], [0.5, 0.45], [1.0, 0.1]])
    asked: list[int] = []

    def judge(point: int) -> dict[str, float]:
        asked.append(point)
        return {"a": front[point, 0] + 1}

    assert Calibrated().pick(("reconstruction", "size"), front, judge)[0] == 1
    assert 0 not in asked


def test_without_data_the_knee_is_taken_and_said() -> None:
    assert Calibrated().pick(NAMES, FRONT, None) == (2, "knee, for there is no data to judge by")
    assert Knee().pick(NAMES, FRONT, None) == (2, "knee")
