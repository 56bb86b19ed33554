"""Colours: that the eye can tell them apart, by the distance of another colour space than the one that made them."""

import itertools

import numpy as np
from numpy.typing import NDArray

from niwaki.tasks.colours import INVALID, depth_colours, oklab_to_srgb, palette, ramp


def cielab(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE 1976 L*a*b* of sRGB bytes (D65), from the standard's formulas."""
    s = colours / 255.0
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def test_primaries_of_oklab_are_those_its_author_published() -> None:
    red, green, blue = [0.628, 0.225, 0.126], [0.866, -0.234, 0.179], [0.452, -0.032, -0.312]
    np.testing.assert_allclose(oklab_to_srgb(np.array([red, green, blue])), np.eye(3), atol=0.03)


def test_forty_classes_are_told_apart_and_from_no_label() -> None:
    labs = cielab(np.vstack([palette(40), np.full((1, 3), INVALID, np.uint8)]))
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(labs, 2))
    assert nearest > 10  # a difference of 2.3 is just noticeable
    few = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(labs[:13], 2))
    assert few > 25


def test_more_classes_use_the_colours_again_and_fewer_the_first() -> None:
    np.testing.assert_array_equal(palette(50)[40:], palette(10))
    np.testing.assert_array_equal(palette(40)[:13], palette(13))


def test_the_ramp_gets_lighter_in_even_steps_and_is_never_the_grey_of_no_label() -> None:
    labs = cielab(ramp())
    steps = np.diff(labs[:, 0])
    assert (steps[8:] > -0.2).all()
    assert labs[-1, 0] - labs[0, 0] > 70
    by_eight = np.linalg.norm(np.diff(labs[::8], axis=0), axis=1)
    assert by_eight.max() < 4 * np.median(by_eight)
    grey = cielab(np.full((1, 3), INVALID, np.uint8))
    assert np.linalg.norm(labs - grey, axis=1).min() > 10


def test_depth_without_a_range_is_still_drawn() -> None:
    assert depth_colours(np.array([[2.0, np.nan]]), np.array([])).shape == (1, 2, 3)
    assert depth_colours(np.array([[2.0, 2.0]]), np.array([2.0])).dtype == np.uint8
