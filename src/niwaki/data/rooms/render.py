"""From a seed and an index to a picture of a room and what is exactly true about it."""

from dataclasses import dataclass

import numpy as np

from niwaki.data.rooms.arrays import Bytes, Floats, Ints
from niwaki.data.rooms.curved import Patch, draw_curved
from niwaki.data.rooms.develop import develop
from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.faces import Faces, as_table, box_faces, shell_faces
from niwaki.data.rooms.furnish import furnish
from niwaki.data.rooms.light import illuminate
from niwaki.data.rooms.materials import Material, Texture
from niwaki.data.rooms.raster import Raster, Screen, draw_faces, make_screen
from niwaki.data.rooms.scene import Scene
from niwaki.data.rooms.solids import Solids, as_arrays
from niwaki.data.rooms.textures import Area, pattern

__all__ = ["RENDERER_VERSION", "RoomSample", "render_room", "render_scene"]

RENDERER_VERSION = 1


@dataclass(frozen=True)
class RoomSample:
    """A picture of a room with its truth.

    Attributes:
        image: ``[3, H, W]`` uint8, red, green, blue.
        segmentation: ``[H, W]`` uint8, NYUv2's 13 classes (`niwaki.data.CLASSES`).
        depth: ``[H, W]`` float32, metres along the optical axis (not along the ray).
        normals: ``[3, H, W]`` float32, unit vectors in the camera's frame (x right, y down, z forward), facing the
            camera.
        focal: Focal length in pixels; the principal point is the image's middle, pixel centres lie at ``i + 0.5``.
    """

    image: Bytes
    segmentation: Bytes
    depth: Floats
    normals: Floats
    focal: float


def render_room(seed: int, index: int, size: tuple[int, int] = (96, 128)) -> RoomSample:
    """Return the room that a seed and an index name, the same on every machine.

    Args:
        seed: Names a world of rooms, 0 or more.
        index: Names a room in it, 0 or more.
        size: Height and width in pixels.

    Returns:
        The picture, and its exact segmentation, depth and normals.

    Examples:
        >>> room = render_room(seed=0, index=3, size=(48, 64))
        >>> room.image.shape, room.depth.shape, bool((room.depth > 0).all())
        ((3, 48, 64), (48, 64), True)
    """
    draws = Draws(seed, index)
    scene = furnish(draws)
    return render_scene(scene, size, draws, noise_key=(seed, index, 1))


def render_scene(scene: Scene, size: tuple[int, int], draws: Draws, noise_key: tuple[int, ...] = (0,)) -> RoomSample:
    """Return a picture of a scene.

    Args:
        scene: A furnished room.
        size: Height and width in pixels.
        draws: Where exposure, sharpness and noise level come from.
        noise_key: Names the sensor's noise.

    Returns:
        The picture, and its exact segmentation, depth and normals.
    """
    height, width = size
    screen = make_screen(height, width, scene.camera.focal * width)
    boxes, curved, materials = as_arrays(scene)
    shell, flat = shell_faces(scene), box_faces(boxes)
    raster = draw_faces(screen, shell, flat)
    patches = draw_curved(screen, curved, raster, 6 + len(flat.label))
    seen = _look_up(screen, raster, shell, flat, curved, patches)
    light = illuminate(scene, boxes, seen.point, seen.normal, seen.face < 6, size)
    image = _shade(seen, materials, light).reshape(3, height, width)
    return RoomSample(
        image=develop(image, draws, noise_key),
        segmentation=seen.label.astype(np.uint8).reshape(height, width),
        depth=seen.point[2].reshape(height, width),
        normals=seen.normal.reshape(3, height, width),
        focal=screen.focal,
    )


@dataclass(frozen=True)
class _Seen:
    """What the pixels show, flattened: point and normal ``[3, n]``, texture coordinates and face size ``[2, n]``."""

    point: Floats
    normal: Floats
    uv: Floats
    size: Floats
    label: Ints
    material: Ints
    pixel: Floats
    face: Ints


def _look_up(screen: Screen, raster: Raster, shell: Faces, flat: Faces, curved: Solids, patches: list[Patch]) -> _Seen:
    table = np.concatenate([as_table(shell), as_table(flat), np.ones((11, len(curved)), np.float32)], axis=1)
    face = raster.face.ravel()
    rows = np.take(table, face, axis=1)
    depth = 1 / raster.inverse
    x = (screen.x.astype(np.float32) * depth).ravel()
    y = (screen.y.astype(np.float32)[:, None] * depth).ravel()
    depth = depth.ravel()
    uv = np.stack([rows[3] * x + rows[4] * y + rows[5] * depth, rows[6] * x + rows[7] * y + rows[8] * depth])
    normal = rows[:3]
    _patch_up(raster, patches, normal, uv)
    label = np.concatenate([shell.label, flat.label, curved.label])
    material = np.concatenate([shell.material, flat.material, curved.material])
    return _Seen(
        np.stack([x, y, depth]),
        normal,
        uv,
        rows[9:],
        label[face],
        material[face],
        depth / np.float32(screen.focal),
        face,
    )


def _patch_up(raster: Raster, patches: list[Patch], normal: Floats, uv: Floats) -> None:
    face = raster.face.ravel()
    for patch in patches:
        there = face[patch.at] == patch.part
        at = patch.at[there]
        normal[:, at] = patch.normal[:, there]
        uv[:, at] = patch.uv[:, there]


def _shade(seen: _Seen, materials: list[Material], light: Floats) -> Floats:
    table = np.array([(*m.a, *m.b, m.scale, m.glow, m.phase, m.texture) for m in materials], np.float32).T
    texture = table[9].astype(np.uint8)[seen.material]
    order = np.argsort(texture, kind="stable")
    look = np.take(table[:9], seen.material[order], axis=1)
    uv, size, pixel = seen.uv[:, order], seen.size[:, order], seen.pixel[order]
    albedo = np.empty((3, len(order)), np.float32)
    start = 0
    for kind, count in enumerate(np.bincount(texture)):
        part = slice(start, start + int(count))
        start += int(count)
        if count:
            area = Area(uv[:, part], size[:, part], look[6, part], look[8, part], pixel[part])
            low = look[:3, part]
            albedo[:, part] = low + (look[3:6, part] - low) * pattern(Texture(kind), area)
    light = light[:, order]
    albedo *= albedo
    glow = look[7]
    lit = np.empty_like(albedo)
    lit[:, order] = albedo * (light * (1 - glow) + glow * np.float32(1.6))
    return lit
