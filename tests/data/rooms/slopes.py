"""Directions of surfaces, derived from depth alone."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def points(depth: Array, focal: float) -> Array:
    """Points in the camera's frame, ``[3, H, W]``."""
    height, width = depth.shape
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (np.arange(height) + 0.5 - height / 2) / focal
    z = depth.astype(np.float64)
    return np.stack([z * x, z * y[:, None], z])


def slopes(depth: Array, normals: Array, focal: float) -> tuple[float, Array]:
    """The share of pixels away from edges, and there the cosine between given and derived directions.

    Away from edges: a pixel and its four neighbours have one direction, and inverse depth is linear there.
    """
    place, given = points(depth, focal), normals.astype(np.float64)
    derived = np.cross(place[:, 1:-1, 2:] - place[:, 1:-1, :-2], place[:, 2:, 1:-1] - place[:, :-2, 1:-1], axis=0)
    derived /= np.linalg.norm(derived, axis=0)
    inner = given[:, 1:-1, 1:-1]
    flat = np.ones(inner.shape[1:], bool)
    for other in (given[:, :-2, 1:-1], given[:, 2:, 1:-1], given[:, 1:-1, :-2], given[:, 1:-1, 2:]):
        flat &= np.abs(other - inner).max(0) < 1e-6
    inverse = 1 / depth.astype(np.float64)
    bend = np.abs(inverse[1:-1, 2:] + inverse[1:-1, :-2] - 2 * inverse[1:-1, 1:-1])
    bend += np.abs(inverse[2:, 1:-1] + inverse[:-2, 1:-1] - 2 * inverse[1:-1, 1:-1])
    flat &= bend < 1e-6
    return float(flat.mean()), (derived * inner).sum(0)[flat]
