"""An oracle for the renderer that shares no formula with it: walk along each ray until a point lies inside a solid."""

from typing import Any

import numpy as np
import numpy.typing as npt

from niwaki.data.rooms.parts import Label, Part, Shape
from niwaki.data.rooms.scene import Placed, Scene

Array = npt.NDArray[np.floating[Any]]

STEP = 0.003


def outside(part: Part, placed: Placed, points: Array) -> Array:
    """How far points ``[..., 3]`` of the room are outside a part, in some measure: negative inside."""
    c, s = placed.turn
    local = points - np.array([placed.x, placed.y, 0.0])
    local = np.stack([c * local[..., 0] + s * local[..., 1], c * local[..., 1] - s * local[..., 0], local[..., 2]], -1)
    local = local - np.array(part.centre)
    c, s = part.turn
    local = np.stack([c * local[..., 0] + s * local[..., 1], c * local[..., 1] - s * local[..., 0], local[..., 2]], -1)
    half = np.array(part.half)
    if part.shape is Shape.BOX:
        return np.asarray((np.abs(local) - half).max(-1))
    if part.shape is Shape.ELLIPSOID:
        return np.asarray((((local / half) ** 2).sum(-1) - 1) * half.min() / 2)
    radius = half[0] * (1 + part.taper * local[..., 2] / half[2])
    return np.asarray(np.maximum(np.abs(local[..., 2]) - half[2], np.hypot(local[..., 0], local[..., 1]) - radius))


def shell_hit(scene: Scene, direction: Array) -> tuple[float, int, Array]:
    """Where a ray from the camera leaves the empty room: distance, class, inward normal."""
    ends = np.array([scene.shell.width, scene.shell.length, scene.shell.height])
    best, axis = np.inf, 0
    for k in range(3):
        wall = ends[k] if direction[k] > 0 else 0.0
        t = (wall - scene.camera.position[k]) / direction[k] if direction[k] else np.inf
        if t < best:
            best, axis = t, k
    normal = np.zeros(3)
    normal[axis] = -np.sign(direction[axis])
    label = Label.WALL if axis < 2 else Label.CEILING if direction[2] > 0 else Label.FLOOR
    return float(best), int(label), normal


def ray_through(scene: Scene, focal: float, size: tuple[int, int], row: int, column: int) -> Array:
    """The ray of a pixel in the room, with a component of 1 along the optical axis."""
    x, y = (column + 0.5 - size[1] / 2) / focal, (row + 0.5 - size[0] / 2) / focal
    camera = scene.camera
    return np.asarray(x * np.array(camera.right) + y * np.array(camera.down) + np.array(camera.forward))


def march(scene: Scene, direction: Array) -> tuple[float, int, Array]:
    """Depth, class and normal (in the room) of what a ray meets first."""
    depth, label, normal = shell_hit(scene, direction)
    position = np.array(scene.camera.position)
    length = float(np.linalg.norm(direction))
    for placed in scene.placed:
        for part in placed.piece.parts:
            found = _enter(part, placed, position, direction, (depth, STEP / length))
            if found is not None:
                depth, label, normal = found, int(part.label), _gradient(part, placed, position + found * direction)
    return depth, label, normal


def _enter(part: Part, placed: Placed, start: Array, way: Array, reach: tuple[float, float]) -> float | None:
    steps = np.arange(0.0, reach[0], reach[1])
    inside = np.flatnonzero(outside(part, placed, start + steps[:, None] * way) < 0)
    if not inside.size:
        return None
    low, high = float(steps[inside[0]] - reach[1]), float(steps[inside[0]])
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if outside(part, placed, start + middle * way) < 0 else (middle, high)
    return high


def _gradient(part: Part, placed: Placed, point: Array, step: float = 1e-5) -> Array:
    rise = [
        outside(part, placed, point + step * unit) - outside(part, placed, point - step * unit) for unit in np.eye(3)
    ]
    return np.asarray(np.array(rise) / np.linalg.norm(rise))
