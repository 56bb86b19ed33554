"""Colours that tell things apart: made in Oklab, where distances are about those the eye sees.

Oklab is Björn Ottosson's; the two matrices below are its definition.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["INVALID", "MOST_CLASSES", "depth_colours", "heat_colours", "oklab_to_srgb", "palette", "ramp"]

INVALID = 48
"""Grey level of a pixel without a label."""

MOST_CLASSES = 40
"""A palette has so many colours; further classes use them again."""

Floats = NDArray[np.float64]
Colours = NDArray[np.uint8]

_TO_CONES = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklab_to_srgb(lab: Floats) -> Floats:
    """Return sRGB of Oklab colours; outside 0..1 where a screen has no such colour.

    Args:
        lab: Lightness in 0..1 and the two opponent axes, ``[..., 3]``.

    Returns:
        ``[..., 3]``.

    Examples:
        >>> oklab_to_srgb(np.array([1.0, 0.0, 0.0])).round(3) + 0.0
        array([1., 1., 1.])
    """
    linear = (lab @ _TO_CONES.T) ** 3 @ _TO_RGB.T
    low: Floats = 12.92 * linear
    high: Floats = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, low, high)


def _lch(lightness: Floats, chroma: Floats, hue_degrees: Floats) -> Floats:
    hue = np.deg2rad(hue_degrees)
    return np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)


def _on_screen(lab: Floats) -> NDArray[np.bool_]:
    rgb = oklab_to_srgb(lab)
    return np.asarray(((rgb >= -1e-4) & (rgb <= 1 + 1e-4)).all(-1))


def _to_bytes(lab: Floats) -> Colours:
    return np.round(oklab_to_srgb(lab).clip(0, 1) * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def ramp() -> Colours:
    """Return 256 colours from dark violet over teal and green to light yellow, lightness rising in equal steps.

    Returns:
        uint8 ``[256, 3]``.

    Examples:
        >>> ramp().shape
        (256, 3)
    """
    t = np.linspace(0, 1, 256)
    lightness, hue = 0.28 + 0.65 * t, 300 - 195 * t
    chroma = np.zeros_like(t)
    for step in np.linspace(0.0, 0.15, 601):  # as colourful as a screen can show, up to .15
        chroma = np.where(_on_screen(_lch(lightness, np.full_like(t, step), hue)), step, chroma)
    smooth = np.convolve(np.pad(chroma, 16, mode="edge"), np.ones(33) / 33, mode="valid")
    return _to_bytes(_lch(lightness, np.minimum(smooth, chroma), hue))


@lru_cache(maxsize=8)
def palette(classes: int) -> Colours:
    """Return colours for classes, each as far as possible from those before it and from the grey of "no label".

    The first colours are the same whatever the number of classes.

    Args:
        classes: Number of classes; colours repeat after 40.

    Returns:
        uint8 ``[classes, 3]``.

    Examples:
        >>> len({tuple(colour) for colour in palette(40).tolist()})
        40
    """
    axes = np.meshgrid([0.45, 0.58, 0.7, 0.82, 0.93], [0.05, 0.1, 0.15, 0.2, 0.25], np.arange(0, 360, 10.0))
    candidates = _lch(*(axis.ravel() for axis in axes))
    candidates = candidates[_on_screen(candidates)]
    distance = np.linalg.norm(candidates - np.array([0.31, 0.0, 0.0]), axis=1)  # the grey of "no label"
    chosen: list[int] = []
    for _ in range(MOST_CLASSES):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(candidates - candidates[chosen[-1]], axis=1))
    colours = _to_bytes(candidates[chosen])
    return colours[np.arange(classes) % MOST_CLASSES]


def depth_colours(depth: NDArray[np.floating], known: NDArray[np.floating]) -> Colours:
    """Return the colours of depths: the nearest bright, the farthest dark, in equal steps of depth.

    Args:
        depth: Depths ``[H, W]``.
        known: The depths that set the range, flat: their 2nd to 98th percentile.

    Returns:
        uint8 ``[H, W, 3]``.

    Examples:
        >>> near, far = depth_colours(np.array([[1.0, 3.0]]), np.array([1.0, 3.0]))[0].sum(-1)
        >>> bool(near > far)
        True
    """
    near, far = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    share = (np.nan_to_num(depth, nan=far, posinf=far, neginf=far) - near) / max(far - near, 1e-12)
    return heat_colours(1 - share)


def heat_colours(heat: NDArray[np.floating]) -> Colours:
    """Return the colours of numbers in 0..1, dark to bright; others are drawn as the nearest end.

    Examples:
        >>> heat_colours(np.array([[0.0, 1.0]])).shape
        (1, 2, 3)
    """
    return ramp()[np.round(heat.clip(0, 1) * 255).astype(np.intp)]
