import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from niwaki.methods.share.search.neighbours import Neighbours


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(0.02, 1))
def test_the_nearest_kept_is_a_minimum_over_columns(seed: int, count: int, density: float) -> None:
    chance = np.random.default_rng(seed)
    matrix = np.minimum(chance.random((count, count)) * 1.3, 1).astype(np.float32)
    matrix[chance.random((count, count)) < 0.2] = 0  # ties
    np.fill_diagonal(matrix, 0)
    kept = chance.random((15, count)) < density
    found = Neighbours.of(matrix).nearest(kept)
    for row, mask in zip(found, kept, strict=True):
        expected = matrix[:, mask].min(1) if mask.any() else np.where(mask, 0, 1)
        np.testing.assert_array_equal(np.where(mask, 0, row), np.where(mask, 0, expected))


def test_nothing_kept_costs_everything() -> None:
    assert Neighbours.of(np.zeros((3, 3), np.float32)).nearest(np.zeros((1, 3), bool)).tolist() == [[1, 1, 1]]


def test_a_single_filter_has_no_neighbours() -> None:
    assert Neighbours.of(np.zeros((1, 1), np.float32)).nearest(np.array([[True]])).tolist() == [[0]]
