import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from niwaki.methods.share.search.archive import Archive, hypervolume, not_dominated


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 60))
def test_the_front_is_pymoo_s(seed: int, objectives: int, count: int) -> None:
    values = np.unique(np.random.default_rng(seed).integers(0, 6, (count, objectives)) / 6.0, axis=0)
    expected = np.zeros(len(values), bool)
    expected[NonDominatedSorting().do(values, only_non_dominated_front=True)] = True
    assert (not_dominated(values) == expected).all()


@given(st.integers(0, 10**6))
def test_an_archive_holds_the_front_of_all_it_was_given(seed: int) -> None:
    chance = np.random.default_rng(seed)
    values, rows = chance.integers(0, 9, (50, 3)) / 9.0, chance.random((50, 11)) < 0.5
    archive = Archive(11, 3)
    for part in np.split(np.arange(50), [3, 20, 21]):
        archive.add(rows[part], values[part])
    whole = not_dominated(values)
    assert sorted(map(tuple, archive.values)) == sorted(map(tuple, values[whole]))
    for row, value in zip(archive.rows(), archive.values, strict=True):
        assert any((row == rows[place]).all() for place in np.flatnonzero((values == value).all(1)))


def test_many_points_are_compared_in_blocks() -> None:
    values = np.random.default_rng(0).random((1500, 2))
    front = values[not_dominated(values)]
    assert not any(((values <= point).all(1) & (values < point).any(1)).any() for point in front)


def test_hypervolume_is_counted_on_a_grid() -> None:
    points = np.random.default_rng(0).integers(0, 9, (12, 3)) / 8
    cells = (np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5) / 8
    covered = (points[:, None] <= cells[None]).all(2).any(0).mean()
    assert hypervolume(points) == pytest.approx(covered)


def test_points_at_the_worst_have_no_volume() -> None:
    assert hypervolume(np.ones((2, 3))) == 0
    assert hypervolume(np.zeros((0, 3))) == 0
