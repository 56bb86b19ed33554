"""How much light reaches each pixel: lamps and windows, light from everywhere, and the dark of corners and contacts."""

import numpy as np

from niwaki.data.rooms.arrays import Floats, Mask
from niwaki.data.rooms.scene import Camera, Light, Placed, Scene, Vector
from niwaki.data.rooms.shadow import shadows
from niwaki.data.rooms.solids import Solids

__all__ = ["illuminate", "room_points"]

_CORNER = 0.35
_CONTACT = 0.22
_DARK = 0.8


def room_points(camera: Camera, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
    """Return points of the camera's frame in the room.

    Args:
        camera: The camera.
        x: Camera coordinates ``[n]``.
        y: Camera coordinates ``[n]``.
        z: Depths ``[n]``.

    Returns:
        Room coordinates, three times ``[n]``.
    """
    a, b, c = (
        np.float32(r) * x + np.float32(d) * y + np.float32(f) * z + np.float32(p)
        for r, d, f, p in zip(camera.right, camera.down, camera.forward, camera.position, strict=True)
    )
    return a, b, c


def illuminate(
    scene: Scene, boxes: Solids, point: Floats, normal: Floats, shell: Mask, size: tuple[int, int]
) -> Floats:
    """Return the light that falls on each pixel.

    Args:
        scene: The room.
        boxes: Its boxes, which cast shadows.
        point: Points in the camera's frame, ``[3, n]``.
        normal: Unit normals in the camera's frame, ``[3, n]``.
        shell: Pixels that show floor, ceiling or a bare wall, ``[n]``.
        size: Height and width of the picture; their product is ``n``.

    Returns:
        Light in red, green and blue, ``[3, n]``.
    """
    x, y, z = room_points(scene.camera, *point)
    camera = scene.camera
    up = -(camera.down[2] * normal[1] + camera.right[2] * -normal[0] + camera.forward[2] * -normal[2])
    sky = (np.float32(0.85) + np.float32(0.15) * up.astype(np.float32)) * _corners(scene, x, y, z)
    open_ = sky.copy()
    at = np.flatnonzero(shell)
    open_[at] *= _contacts(scene.placed, x[at], y[at], z[at])
    total: Floats = np.asarray(scene.ambient, np.float32)[:, None] * open_
    for number, light in enumerate(scene.lights):
        spot = _in_camera(camera, light)
        lit = _lamp(light.power, spot, point, normal) * open_
        if number == 0:
            lit *= 1 - np.float32(_DARK) * shadows(boxes, point, normal, spot, size)
        total += np.asarray(light.colour, np.float32)[:, None] * lit
    return total


def _in_camera(camera: Camera, light: Light) -> Vector:
    x, y, z = (light.x - camera.position[0], light.y - camera.position[1], light.z - camera.position[2])
    rows = (camera.right, camera.down, camera.forward)
    lx, ly, lz = (r[0] * x + r[1] * y + r[2] * z for r in rows)
    return lx, ly, lz


def _lamp(power: float, spot: Vector, point: Floats, normal: Floats) -> Floats:
    dx, dy, dz = (np.float32(s) - p for s, p in zip(spot, point, strict=True))
    square = dx * dx + dy * dy + dz * dz
    facing = (dx * normal[0] + dy * normal[1] + dz * normal[2]) / np.sqrt(square + np.float32(1e-4))
    soft = np.maximum(facing * np.float32(0.8) + np.float32(0.2), 0)
    lit: Floats = soft * (np.float32(power) / (1 + square * np.float32(0.16)))
    return lit


def _corners(scene: Scene, x: Floats, y: Floats, z: Floats) -> Floats:
    shell = scene.shell
    bright: Floats | None = None
    for position, extent in ((x, shell.width), (y, shell.length), (z, shell.height)):
        near = np.minimum(position, np.float32(extent) - position) * np.float32(1 / _CORNER)
        part = 1 - np.float32(0.3) / (1 + near * near)
        bright = part if bright is None else bright * part
    assert bright is not None
    return bright * np.float32(1.35)


def _contacts(placed: list[Placed], x: Floats, y: Floats, z: Floats) -> Floats:
    solid = [p for p in placed if p.piece.depth > 0.1]
    if not solid:
        return np.ones_like(x)
    rows = [(p.x, p.y, *p.turn, p.piece.width / 2, p.piece.depth / 2, p.piece.bottom, p.piece.height) for p in solid]
    px, py, c, s, half, deep, low, high = (column[:, None] for column in np.array(rows, np.float32).T)
    dx, dy = x - px, y - py
    away_x = np.maximum(np.abs(dx * c + dy * s) - half, 0)
    away_y = np.maximum(np.abs(dy * c - dx * s - deep) - deep, 0)
    away_z = np.maximum(np.abs(z - (low + high) / 2) - (high - low) / 2, 0)
    square = (away_x * away_x + away_y * away_y + away_z * away_z) * np.float32(1 / (_CONTACT * _CONTACT))
    nearest = np.minimum.reduce(square, axis=0)
    fall = 1 / (1 + nearest)
    lighter: Floats = 1 - np.float32(0.55) * fall * fall
    return lighter
