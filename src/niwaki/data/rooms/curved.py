"""Ellipsoids and cone stumps, met by each ray of the rectangle that surrounds them."""

from dataclasses import dataclass

import numpy as np

from niwaki.data.rooms.arrays import Doubles, Ints, Mask
from niwaki.data.rooms.raster import Raster, Screen
from niwaki.data.rooms.solids import Solids

__all__ = ["Patch", "draw_curved"]

_NEAR = 0.05


@dataclass(frozen=True)
class Patch:
    """The pixels in which a curved part was drawn; a part drawn later may hide some of them.

    Attributes:
        part: The part's number in the face table.
        at: Pixels, counted row by row, ``[k]``.
        normal: Unit normals in the camera's frame, ``[3, k]``.
        uv: Texture coordinates around and up the part, metres, ``[2, k]``.
    """

    part: int
    at: Ints
    normal: Doubles
    uv: Doubles


def draw_curved(screen: Screen, curved: Solids, raster: Raster, first: int) -> list[Patch]:
    """Draw curved parts over what is there; the raster is changed in place.

    Args:
        screen: The pixels.
        curved: Ellipsoids (their taper is NaN) and frustums.
        raster: What was drawn so far.
        first: The number of the first curved part in the face table.

    Returns:
        The parts that are seen, in the order drawn.
    """
    patches = []
    for part, area in _rectangles(screen, curved):
        patch = _draw(screen, curved, raster, part, first + part, area)
        if patch is not None:
            patches.append(patch)
    return patches


def _rectangles(screen: Screen, curved: Solids) -> list[tuple[int, tuple[slice, slice]]]:
    reach = np.zeros_like(curved.middle)
    for axis in range(3):
        reach = reach + np.abs(curved.axes[:, axis] * curved.half[:, axis, None]) * _widest(curved, axis)
    nearest = curved.middle[:, 2] - reach[:, 2]
    farthest = curved.middle[:, 2] + reach[:, 2]
    low, high = curved.middle - reach, curved.middle + reach
    found = []
    for part in np.flatnonzero(nearest > _NEAR):
        near, far = nearest[part], farthest[part]
        box = []
        for axis, count in ((1, screen.height), (0, screen.width)):
            a, b = low[part, axis], high[part, axis]
            start = (a / near if a < 0 else a / far) * screen.focal + count / 2
            stop = (b / near if b > 0 else b / far) * screen.focal + count / 2
            box.append(slice(max(int(start) - 1, 0), min(int(stop) + 2, count)))
        if all(each.start < each.stop for each in box):
            found.append((int(part), (box[0], box[1])))
    return found


def _widest(curved: Solids, axis: int) -> Doubles:
    wide = 1.0 + np.abs(curved.taper)
    return (wide if axis < 2 else np.ones_like(wide))[:, None]


def _draw(
    screen: Screen, curved: Solids, raster: Raster, part: int, number: int, area: tuple[slice, slice]
) -> Patch | None:
    rows, columns = area
    x, y = screen.x[columns], screen.y[rows][:, None]
    half = curved.half[part]
    # The ray in units of the part: the surface is then a unit sphere, or a cone of unit radius half way up.
    start = curved.eye[part] / half
    ray = [(a[0] * x + (a[1] * y + a[2])) / h for a, h in zip(curved.axes[part], half, strict=True)]
    taper = float(curved.taper[part])
    with np.errstate(invalid="ignore", divide="ignore"):
        depth, cap = _sphere(ray, start) if curved.ellipsoid[part] else _stump(ray, start, taper)
        inverse = (1.0 / depth).astype(np.float32)
    front = (depth > _NEAR) & (inverse > raster.inverse[area])
    if not front.any():
        return None
    raster.inverse[area][front] = inverse[front]
    raster.face[area][front] = number
    row, column = np.nonzero(front)
    depth = depth[front]
    hit = [s + depth * r[front] for s, r in zip(start, ray, strict=True)]
    own = [hit[0], hit[1], hit[2] if cap is None else -taper * (1.0 + taper * hit[2])]
    if cap is not None:
        own = [np.where(cap[front], flat, o) for flat, o in zip((0.0, 0.0, np.sign(start[2])), own, strict=True)]
    return Patch(
        part=number,
        at=(row + rows.start) * screen.width + column + columns.start,
        normal=_turned(curved, part, own),
        uv=np.stack([(hit[0] + hit[1]) * half[0], (hit[2] + 1.0) * half[2]]),
    )


def _turned(curved: Solids, part: int, own: list[Doubles]) -> Doubles:
    x, y, z = (o / h for o, h in zip(own, curved.half[part], strict=True))
    length = np.sqrt(x * x + y * y + z * z)
    across, along, up = curved.axes[part]
    return np.stack([(x * across[k] + y * along[k] + z * up[k]) / length for k in range(3)])


def _sphere(ray: list[Doubles], start: Doubles) -> tuple[Doubles, None]:
    a = ray[0] * ray[0] + ray[1] * ray[1] + ray[2] * ray[2]
    b = start[0] * ray[0] + start[1] * ray[1] + start[2] * ray[2]
    c = start[0] * start[0] + start[1] * start[1] + start[2] * start[2] - 1.0
    return (-b - np.sqrt(b * b - a * c)) / a, None


def _stump(ray: list[Doubles], start: Doubles, taper: float) -> tuple[Doubles, Mask]:
    wide = 1.0 + taper * start[2]
    slope = taper * ray[2]
    a = ray[0] * ray[0] + ray[1] * ray[1] - slope * slope
    b = start[0] * ray[0] + start[1] * ray[1] - wide * slope
    c = start[0] * start[0] + start[1] * start[1] - wide * wide
    root = np.sqrt(b * b - a * c)
    side = np.full_like(a, np.inf)
    for t in ((-b - root) / a, (-b + root) / a):
        good = (np.abs(start[2] + t * ray[2]) <= 1.0) & (t > 0)
        side = np.where(good, np.minimum(side, t), side)
    end = np.sign(start[2])
    t = (end - start[2]) / ray[2]
    x, y = start[0] + t * ray[0], start[1] + t * ray[1]
    reach = 1.0 + taper * end
    cap = (x * x + y * y <= reach * reach) & (t > 0) & (abs(start[2]) > 1.0)
    cap = cap & (t < side)
    return np.where(cap, t, side), cap
