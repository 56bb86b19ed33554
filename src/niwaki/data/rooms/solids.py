"""A scene as arrays: every part with its axes and its middle as the camera sees them."""

from dataclasses import dataclass

import numpy as np

from niwaki.data.rooms.arrays import Doubles, Ints, Mask
from niwaki.data.rooms.materials import Material
from niwaki.data.rooms.parts import Part, Shape
from niwaki.data.rooms.scene import Camera, Placed, Scene

__all__ = ["Solids", "as_arrays", "seen_from"]


@dataclass(frozen=True)
class Solids:
    """Parts of one shape, as arrays.

    Attributes:
        middle: Centres in the camera's frame, ``[n, 3]``.
        axes: Unit axes in the camera's frame, ``[n, 3, 3]``, the second index names the axis.
        eye: The camera in each part's own frame, ``[n, 3]``.
        half: Half extents along the own axes, ``[n, 3]``.
        ellipsoid: Whether a curved part is an ellipsoid and no frustum, ``[n]``.
        taper: How much wider a frustum's top is than its middle, ``[n]``.
        label: Classes, ``[n]``.
        material: Rows of the material table, ``[n]``.
    """

    middle: Doubles
    axes: Doubles
    eye: Doubles
    half: Doubles
    ellipsoid: Mask
    taper: Doubles
    label: Ints
    material: Ints

    def __len__(self) -> int:
        return len(self.label)


def as_arrays(scene: Scene) -> tuple[Solids, Solids, list[Material]]:
    """Return a scene's boxes, its curved parts and its materials.

    Args:
        scene: A room.

    Returns:
        The boxes; ellipsoids and frustums together; the materials: the shell's six, one for each box, one for each
        curved part.
    """
    pairs = [(part, placed) for placed in scene.placed for part in placed.piece.parts]
    boxes = [pair for pair in pairs if pair[0].shape is Shape.BOX]
    curved = [pair for pair in pairs if pair[0].shape is not Shape.BOX]
    materials = [*scene.shell.materials, *(p.material for p, _ in boxes), *(p.material for p, _ in curved)]
    flat = _solids(boxes, scene.camera, 6)
    return flat, _solids(curved, scene.camera, 6 + len(boxes)), materials


def seen_from(camera: Camera, x: Doubles, y: Doubles, z: Doubles) -> Doubles:
    """Return vectors of the room in the camera's frame.

    Args:
        camera: The camera; its position is not subtracted.
        x: First components ``[n]``.
        y: Second components ``[n]``.
        z: Third components ``[n]``.

    Returns:
        The vectors, ``[n, 3]``.
    """
    rows = (camera.right, camera.down, camera.forward)
    return np.stack([r[0] * x + r[1] * y + r[2] * z for r in rows], axis=1)


def _solids(pairs: list[tuple[Part, Placed]], camera: Camera, first_material: int) -> Solids:
    rows = [(*p.centre, *p.half, *p.turn, p.taper, float(p.label), s.x, s.y, *s.turn) for p, s in pairs]
    table = np.array(rows, dtype=np.float64).reshape(-1, 14).T
    px, py, pz, hx, hy, hz, tc, ts, taper, label, sx, sy, sc, ss = table
    c, s = sc * tc - ss * ts, ss * tc + sc * ts
    dx, dy, dz = sx + sc * px - ss * py, sy + ss * px + sc * py, pz
    dx, dy, dz = dx - camera.position[0], dy - camera.position[1], dz - camera.position[2]
    zero, one = np.zeros_like(c), np.ones_like(c)
    axes = np.stack(
        [seen_from(camera, c, s, zero), seen_from(camera, -s, c, zero), seen_from(camera, zero, zero, one)], axis=1
    )
    eye = np.stack([-(c * dx + s * dy), s * dx - c * dy, -dz], axis=1)
    half = np.stack([hx, hy, hz], axis=1)
    material = first_material + np.arange(len(pairs))
    ellipsoid = np.array([p.shape is Shape.ELLIPSOID for p, _ in pairs], dtype=np.bool_)
    middle = seen_from(camera, dx, dy, dz)
    return Solids(middle, axes, eye, half, ellipsoid, taper, label.astype(np.int64), material)
