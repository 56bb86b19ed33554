import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from niwaki.methods.share.search.genome import drawn, fitting, mixed, some, swapped

SEEDS = st.integers(0, 10**6)


@given(SEEDS, st.integers(1, 20))
def test_children_share_out_what_their_parents_keep(seed: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    first, second = chance.random((2, 8, count)) < chance.random()
    one, other = mixed(first, second, chance)
    assert ((one | other) == (first | second)).all()
    assert ((one & other) == (first & second)).all()
    sizes = np.sort([first.sum(1), second.sum(1)], axis=0)
    assert (sizes[0] <= one.sum(1)).all()
    assert (one.sum(1) <= sizes[1]).all()


@given(SEEDS, st.integers(2, 20), st.data())
def test_swaps_stay_within_bounds_and_change_something(seed: int, count: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(1, count))
    most = data.draw(st.integers(least, count))
    chance = np.random.default_rng(seed)
    rows = drawn(chance.integers(least, most, size=9, endpoint=True), count, chance)
    found = swapped(rows, least, most, chance)
    sizes = found.sum(1)
    assert (sizes >= least).all()
    assert (sizes <= most).all()
    if least == most < count:
        assert (found != rows).any(1).all()


@given(SEEDS, st.integers(1, 20), st.data())
def test_rows_are_put_right_and_right_ones_left_alone(seed: int, count: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(1, count))
    most = data.draw(st.integers(least, count))
    chance = np.random.default_rng(seed)
    rows = chance.random((9, count)) < chance.random()
    found = fitting(rows, least, most, chance)
    sizes, before = found.sum(1), rows.sum(1)
    assert (least <= sizes).all()
    assert (sizes <= most).all()
    right = (least <= before) & (before <= most)
    assert (found[right] == rows[right]).all()
    assert (found[before < least] >= rows[before < least]).all()
    assert (found[before > most] <= rows[before > most]).all()


def test_every_set_is_drawn_equally_often() -> None:
    rows = drawn(np.full(12_000, 2), 4, np.random.default_rng(0))
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(kinds) == 6
    assert (np.abs(counts - 2000) < 200).all()


def test_a_leaning_of_one_is_never_overturned() -> None:
    lean = np.tile(np.arange(5.0), (200, 1))
    found = some(np.ones((200, 5), bool), np.full(200, 2), np.random.default_rng(0), lean)
    assert found.tolist() == [[True, True, False, False, False]] * 200


def test_swaps_lean_to_what_comes_first() -> None:
    rows = np.tile([True, False, False, False], (50, 1))
    found = swapped(rows, 1, 1, np.random.default_rng(0), np.tile([9.0, 2.0, 0.0, 4.0], (50, 1)))
    assert found.tolist() == [[False, False, True, False]] * 50
