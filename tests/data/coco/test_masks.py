"""Masks against pycocotools' own pixels."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from niwaki.data.coco.masks import Polygons, Runs, read_mask, rendered
from niwaki.data.frames import Fault

tool = pytest.importorskip("pycocotools.mask")

SIZE = (23, 31)


def pixels(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    draw = np.random.default_rng(seed)
    made = (draw.random(SIZE) < draw.random()).astype(np.uint8)
    made[: draw.integers(24), : draw.integers(32)] = draw.integers(2)
    return made


@given(st.integers(0, 1000))
def test_packed_and_plain_run_lengths_are_the_mask_they_were_made_of(seed: int) -> None:
    made = pixels(seed)
    packed = tool.encode(np.asfortranarray(made))["counts"].decode()
    flat = made.T.ravel()
    plain = np.diff(np.flatnonzero(np.diff(np.concatenate([[2], flat, [2]]))))
    counts = [int(each) for each in ([0, *plain] if flat[0] else plain)]
    for given_as in (packed, counts):
        mask = read_mask({"size": list(SIZE), "counts": given_as}, SIZE)
        assert isinstance(mask, Runs)
        assert (rendered(mask, SIZE) == made).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' decode, with NumPy 2
@given(st.integers(0, 1000))
def test_outlines_are_filled_as_pycocotools_fills_them(seed: int) -> None:
    draw = random.Random(seed)
    outlines = [[draw.uniform(-3, 34) for _ in range(2 * draw.randint(3, 7))] for _ in range(draw.randint(1, 3))]
    mask = read_mask(outlines, SIZE)
    assert isinstance(mask, Polygons)
    expected = tool.decode(tool.merge(tool.frPyObjects(outlines, *SIZE)))
    assert (rendered(mask, SIZE) == expected).all()


@given(st.text(max_size=12))
def test_no_text_is_taken_for_run_lengths_of_other_pixels(text: str) -> None:
    mask = read_mask({"size": list(SIZE), "counts": text}, SIZE)
    assert isinstance(mask, Fault) or rendered(mask, SIZE).shape == SIZE
