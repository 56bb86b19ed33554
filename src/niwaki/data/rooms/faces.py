"""Flat faces, each described by linear functions of the pixel's ray: inverse depth, and position on the face.

For a ray ``r = (X, Y, 1)`` and a plane ``n . p = d``, inverse depth ``w = 1/z = (n . r) / d`` is linear in X and Y, and
so is any coordinate on the plane times ``w``. A face covers a ray where four such functions are not negative; no
clipping is needed, because their sums show that ``w`` is not negative there.
"""

from dataclasses import dataclass

import numpy as np

from niwaki.data.rooms.arrays import Doubles, Floats, Ints
from niwaki.data.rooms.parts import Label
from niwaki.data.rooms.scene import Scene
from niwaki.data.rooms.solids import Solids, seen_from

__all__ = ["Faces", "box_faces", "shell_faces"]


@dataclass(frozen=True)
class Faces:
    """Flat faces that the camera sees from their outer side.

    Attributes:
        inverse: Inverse depth as coefficients of X, Y and 1, ``[n, 3]``.
        edges: Four functions that are not negative inside, ``[n, 4, 3]``; empty for the shell's faces.
        normal: Unit normals in the camera's frame, facing the camera, ``[n, 3]``.
        u: First texture coordinate (metres) times inverse depth, ``[n, 3]``.
        v: Second texture coordinate (metres) times inverse depth, ``[n, 3]``.
        size: Extent along u and v in metres, ``[n, 2]``.
        label: Classes, ``[n]``.
        material: Rows of the material table, ``[n]``.
    """

    inverse: Doubles
    edges: Doubles
    normal: Doubles
    u: Doubles
    v: Doubles
    size: Doubles
    label: Ints
    material: Ints


def dot(a: Doubles, b: Doubles) -> Doubles:
    """Return the inner products of rows, summed in a fixed order so that every machine agrees to the last bit."""
    total: Doubles = a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]
    return total


def box_faces(boxes: Solids) -> Faces:
    """Return those faces of boxes whose outer side the camera sees.

    Args:
        boxes: Any number of boxes.

    Returns:
        At most three faces of each box.
    """
    return _join([_axis_faces(boxes, axis) for axis in range(3)])


def _axis_faces(boxes: Solids, axis: int) -> Faces:
    first, second = ((1, 2), (0, 2), (0, 1))[axis]
    seen = np.flatnonzero(np.abs(boxes.eye[:, axis]) > boxes.half[:, axis] + 1e-6)
    eye, half, axes = boxes.eye[seen], boxes.half[seen], boxes.axes[seen]
    normal = axes[:, axis] * np.sign(eye[:, axis])[:, None]
    inverse = normal / (half[:, axis] - np.abs(eye[:, axis]))[:, None]
    along = [axes[:, k] + eye[:, k, None] * inverse for k in (first, second)]
    reach = [half[:, k, None] * inverse for k in (first, second)]
    edges = np.stack([reach[0] + along[0], reach[0] - along[0], reach[1] + along[1], reach[1] - along[1]], axis=1)
    size = np.stack([2 * half[:, first], 2 * half[:, second]], axis=1)
    u, v = reach[0] + along[0], reach[1] + along[1]
    return Faces(inverse, edges, normal, u, v, size, boxes.label[seen], boxes.material[seen])


def shell_faces(scene: Scene) -> Faces:
    """Return floor, ceiling and the four walls, seen from inside.

    Args:
        scene: A room with its camera inside.

    Returns:
        Six faces, of materials 0 to 5, without edges: the nearest of the six planes is what a ray meets.
    """
    shell, camera = scene.shell, scene.camera
    x, y, z = camera.position
    one, zero = np.ones(1), np.zeros(1)
    basis = [seen_from(camera, *unit) for unit in ((one, zero, zero), (zero, one, zero), (zero, zero, one))]
    ax, ay, az = (b[0] for b in basis)
    planes = (
        (az, z, ax, x, ay, y),
        (-az, shell.height - z, ax, x, ay, y),
        (ax, x, ay, y, az, z),
        (-ax, shell.width - x, ay, y, az, z),
        (ay, y, ax, x, az, z),
        (-ay, shell.length - y, ax, x, az, z),
    )
    normal = np.stack([n for n, *_ in planes])
    inverse = np.stack([-n / gap for n, gap, *_ in planes])
    u = np.stack([a + start * w for (_, _, a, start, _, _), w in zip(planes, inverse, strict=True)])
    v = np.stack([b + start * w for (_, _, _, _, b, start), w in zip(planes, inverse, strict=True)])
    horizontal, across, along = (shell.width, shell.length), (shell.length, shell.height), (shell.width, shell.height)
    size = np.array([horizontal, horizontal, across, across, along, along])
    label = np.array([Label.FLOOR, Label.CEILING, *[Label.WALL] * 4])
    return Faces(inverse, np.zeros((6, 4, 3)), normal, u, v, size, label.astype(np.int64), np.arange(6))


def _join(faces: list[Faces]) -> Faces:
    names = ("inverse", "edges", "normal", "u", "v", "size", "label", "material")
    return Faces(**{name: np.concatenate([getattr(each, name) for each in faces]) for name in names})


def as_table(faces: Faces) -> Floats:
    """Return what shading looks up for each pixel, one column a face: normal, u, v, size; ``[11, n]``."""
    return np.concatenate([faces.normal, faces.u, faces.v, faces.size], axis=1).T.astype(np.float32)
