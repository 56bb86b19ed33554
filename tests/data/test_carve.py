import pytest
from hypothesis import given
from hypothesis import strategies as st

from niwaki.data.carve import RUNS, carve
from niwaki.errors import DataError


@given(count=st.integers(2, 2000), data=st.data())
def test_every_sample_goes_to_one_side_and_the_number_is_kept(count: int, data: st.DataObject) -> None:
    amount = data.draw(st.integers(1, count - 1))
    train, val = carve(count, amount)
    assert sorted(train + val) == list(range(count))
    assert len(val) == amount


def test_validation_comes_in_a_few_even_runs() -> None:
    _, val = carve(795, 0.1)
    starts = [index for index in val if index - 1 not in val]
    assert len(val) == 80
    assert len(starts) == RUNS
    assert max(val) > 700
    assert min(val) < 100


def test_a_small_fraction_gives_one_sample() -> None:
    assert len(carve(5, 0.01)[1]) == 1


@pytest.mark.parametrize("amount", [0, 5, 9, 1.0, 2.5])
def test_nothing_left_is_refused(amount: float) -> None:
    with pytest.raises(DataError, match=r"can't be carved from 5 training samples; ask for 1 to 4"):
        carve(5, amount)
