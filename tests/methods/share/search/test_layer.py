from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from niwaki.errors import ContractError
from niwaki.methods.share.search.layer import SearchLayer, cosines, deviations

MakeLayer = Callable[..., SearchLayer]


def _slow(filters: np.ndarray[Any, Any], *, scaled: bool) -> np.ndarray[Any, Any]:
    count = len(filters)
    found = np.zeros((count, count))
    for i, x in enumerate(filters.astype(np.float64)):
        for j, y in enumerate(filters.astype(np.float64)):
            if i == j or not x.any():
                continue
            a = max(0.0, x @ y) / (y @ y) if y.any() else 0.0
            found[i, j] = min(1.0, np.square(x - (a if scaled else 1.0) * y).sum() / (x @ x))
    return found


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_deviations_are_those_of_a_slow_loop(make_layer: MakeLayer, seed: int, scaled: bool) -> None:
    filters = make_layer(seed).filters
    np.testing.assert_allclose(deviations(filters, scaled=scaled), _slow(filters, scaled=scaled), atol=3e-6)


def test_deviations_of_filters_that_are_nearly_equal_are_not_rounded_away() -> None:
    filters = np.random.default_rng(0).normal(size=(1, 64)).repeat(2, 0).astype(np.float32)
    filters[1] += np.float32(1e-3) * np.random.default_rng(1).normal(size=64).astype(np.float32)
    np.testing.assert_allclose(deviations(filters, scaled=False), _slow(filters, scaled=False), rtol=1e-5)


def test_a_filter_far_smaller_is_the_same_only_with_a_scale() -> None:
    pair = np.array([[100, 0], [1, 0]], np.float32)
    assert deviations(pair)[0, 1] == 0
    assert deviations(pair, scaled=False)[0, 1] == pytest.approx(0.9801)


def test_zero_filters_lose_nothing_and_stand_for_nothing() -> None:
    found = deviations(np.array([[0, 0], [1, 2]], np.float32))
    assert found.tolist() == [[0, 0], [1, 0]]
    assert not cosines(np.array([[0, 0], [1, 2]], np.float32)).any()


def test_a_limit_leaves_filters_out_at_full_cost(make_layer: MakeLayer) -> None:
    filters = np.array([[1, 0], [1, 0.5], [1, 1]], np.float32)
    kept = np.array([[True, False, False]])
    free = SearchLayer("a", filters, np.zeros(3, int), 1, 1)
    bound = SearchLayer("a", filters, np.zeros(3, int), 1, 1, limits=np.array([np.inf, 0.1, np.inf], np.float32))
    np.testing.assert_allclose(free.lost(kept), [[0, 0.2, 0.5]], atol=1e-6)
    np.testing.assert_allclose(bound.lost(kept), [[0, 1, 0.5]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"filters": np.zeros((0, 3), np.float32)}, "N at least 1"),
        ({"owners": np.zeros(2, int)}, "owners has one entry"),
        ({"mass": np.ones(2)}, "mass has one entry"),
        ({"mass": -np.ones(3)}, "no mass is below 0"),
        ({"filters": np.full((3, 2), np.nan, np.float32)}, "finite"),
        ({"least": 0}, "can't keep 0 to 3"),
        ({"most": 4}, "can't keep 1 to 4"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], told: str) -> None:
    sound: dict[str, Any] = {"filters": np.ones((3, 2), np.float32), "owners": np.zeros(3, int), "least": 1, "most": 3}
    with pytest.raises(ContractError, match=told):
        SearchLayer("a", **(sound | changes))
