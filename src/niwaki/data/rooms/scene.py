"""A room before it is drawn: its shell, its pieces where they stand, its lights, and where the camera is."""

from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.materials import Colour, Material
from niwaki.data.rooms.parts import Piece

__all__ = ["Camera", "Light", "Placed", "Scene", "Shell", "Vector", "aim"]

Vector = tuple[float, float, float]


class Shell(NamedTuple):
    """The empty room: it spans the origin to (width, length, height), z up, in metres.

    Attributes:
        width: Extent along x.
        length: Extent along y.
        height: Extent along z.
        materials: Of floor, ceiling and the walls at x=0, x=width, y=0, y=length.
    """

    width: float
    length: float
    height: float
    materials: tuple[Material, ...]


class Placed(NamedTuple):
    """A piece where it stands: its origin and the cosine and sine of its turn about z."""

    piece: Piece
    x: float
    y: float
    turn: tuple[float, float]


class Light(NamedTuple):
    """A small lamp or a window seen as one: where, how strong, of which colour."""

    x: float
    y: float
    z: float
    power: float
    colour: Colour


class Camera(NamedTuple):
    """A pinhole camera.

    Attributes:
        position: In the room, metres.
        right: Unit vector of the image's x axis, in the room.
        down: Unit vector of the image's y axis.
        forward: Unit vector of the optical axis.
        focal: Focal length as a share of the image's width.
    """

    position: Vector
    right: Vector
    down: Vector
    forward: Vector
    focal: float


@dataclass
class Scene:
    """All that is drawn.

    Attributes:
        shell: The empty room.
        camera: Where it is seen from.
        placed: Pieces where they stand.
        lights: Lamps and windows.
        ambient: Light that comes from everywhere.
    """

    shell: Shell
    camera: Camera
    placed: list[Placed] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    ambient: Colour = (0.4, 0.4, 0.4)


def _unit(v: Vector) -> Vector:
    length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    return (v[0] / length, v[1] / length, v[2] / length)


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def aim(position: Vector, target: Vector, focal: float, roll: tuple[float, float] = (1.0, 0.0)) -> Camera:
    """Return the camera at ``position`` that looks at ``target``.

    Args:
        position: In the room, metres.
        target: Any point on the optical axis, not straight above or below.
        focal: Focal length as a share of the image's width.
        roll: Cosine and sine of the turn about the optical axis.

    Returns:
        The camera.

    Examples:
        >>> aim((1.0, 0.0, 1.5), (1.0, 3.0, 1.5), 0.8).down
        (0.0, 0.0, -1.0)
    """
    forward = _unit((target[0] - position[0], target[1] - position[1], target[2] - position[2]))
    right = _unit(_cross(forward, (0.0, 0.0, 1.0)))
    down = _cross(forward, right)
    c, s = roll
    turned = tuple(c * r + s * d for r, d in zip(right, down, strict=True))
    below = tuple(c * d - s * r for r, d in zip(right, down, strict=True))
    return Camera(position, (turned[0], turned[1], turned[2]), (below[0], below[1], below[2]), forward, focal)


def draw_camera(draws: Draws, width: float, length: float, height: float) -> Camera:
    """Return a camera somewhere near the wall at y=0, mostly looking slightly down across the room."""
    x, y = draws.uniform(0.12, 0.88) * width, draws.uniform(0.25, 0.25 + 0.12 * length)
    z = min(draws.uniform(1.15, 1.75), height - 0.4)
    across = width * draws.uniform(0.2, 0.8)
    target = (across, length * draws.uniform(0.7, 1.0), z - draws.uniform(0.0, 1.5))
    return aim((x, y, z), target, draws.uniform(0.7, 0.8), draws.turn(0.04))
