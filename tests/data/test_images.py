import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.data.images import nearest, resample

SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(old=SIDES, new=SIDES)
def test_nearest_takes_the_pixel_under_the_middle(old: tuple[int, int], new: tuple[int, int]) -> None:
    target = np.arange(old[0] * old[1]).reshape(old)
    found = nearest(target, new)
    for row in range(new[0]):
        for column in range(new[1]):
            y, x = int((row + 0.5) * old[0] / new[0] + 1e-9), int((column + 0.5) * old[1] / new[1] + 1e-9)
            assert found[row, column] == target[y, x]


def test_nearest_keeps_channels_last() -> None:
    assert nearest(np.zeros((4, 6, 3)), (2, 3)).shape == (2, 3, 3)


def test_a_smaller_picture_is_the_mean_of_what_it_covers() -> None:
    image = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(0))
    means = image.reshape(3, 2, 2, 2, 3).mean((2, 4))
    assert torch.allclose(resample(image, (2, 2)), means)


def test_a_larger_picture_stays_in_range() -> None:
    image = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(0))
    large = resample(image, (9, 13))
    assert large.shape == (3, 9, 13)
    assert image.min() <= large.min()
    assert large.max() <= image.max()


def test_the_same_size_is_left_alone() -> None:
    image, target = torch.rand(3, 4, 6), np.zeros((4, 6))
    assert resample(image, (4, 6)) is image
    assert nearest(target, (4, 6)) is target
