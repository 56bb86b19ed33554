import numpy as np

from niwaki.methods.share.search.thinning import thinned


def test_short_fronts_stay_whole() -> None:
    assert thinned(np.random.default_rng(0).random((5, 3)), 5, first=2) == [0, 1, 2, 3, 4]


def test_the_first_and_the_best_of_each_objective_stay() -> None:
    values = np.random.default_rng(0).random((200, 3))
    found = thinned(values, 20, first=77)
    assert len(found) == 20
    assert {77, *values.argmin(0).tolist()} <= set(found)


def test_no_point_is_left_far_from_one_that_stays() -> None:
    side = np.linspace(0, 1, 1001)
    values = np.stack([side, 1 - side], axis=1)
    found = values[thinned(values, 33, first=0)]
    away = np.abs(values[:, None, 0] - found[None, :, 0]).min(1)
    assert away.max() < 0.03
