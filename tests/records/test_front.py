import pytest
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import SettingError
from niwaki.records.front import Front, packed


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_kept_rows_come_back_from_their_bits(sizes: list[int], chance: object) -> None:
    kept = tuple(tuple(row for row in range(size) if chance.random() < 0.5) for size in sizes)  # type: ignore[attr-defined] # hypothesis' own type
    front = Front(
        objectives=("size",),
        values=((0.5,),),
        bits=(packed(kept, sizes),),
        layers=tuple(map(str, sizes)),
        sizes=tuple(sizes),
        chosen=0,
    )
    assert front.kept(0) == kept
    assert Front.from_json(front.to_json()) == front


def test_a_point_that_is_not_there_is_named() -> None:
    front = Front(objectives=("size",), values=((0.5,),), bits=("oA==",), layers=("0",), sizes=(4,), chosen=0)
    with pytest.raises(SettingError, match="no point 17; its points: 0 to 0"):
        front.kept(17)
