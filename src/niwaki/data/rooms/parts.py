"""The solids that pieces of furniture are built from, and the 13 classes they belong to."""

from enum import IntEnum
from typing import NamedTuple

from niwaki.data.rooms.materials import Material

__all__ = ["CLASSES", "Label", "Part", "Piece", "Shape"]


class Label(IntEnum):
    """NYUv2's 13 classes."""

    BED = 0
    BOOKS = 1
    CEILING = 2
    CHAIR = 3
    FLOOR = 4
    FURNITURE = 5
    OBJECTS = 6
    PICTURE = 7
    SOFA = 8
    TABLE = 9
    TV = 10
    WALL = 11
    WINDOW = 12


CLASSES: tuple[str, ...] = tuple(label.name.lower() for label in Label)


class Shape(IntEnum):
    """The solids the renderer knows."""

    BOX = 0
    ELLIPSOID = 1
    FRUSTUM = 2


class Part(NamedTuple):
    """One solid of a piece, in the piece's own frame: x along its width, y away from its back, z up, in metres.

    Attributes:
        shape: Which solid.
        centre: Its middle.
        half: Half its extent along its own axes.
        turn: Cosine and sine of its rotation about z.
        taper: How much wider a frustum's top is than its middle, in (-1, 1).
        label: Its class.
        material: Its surface.
    """

    shape: Shape
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    turn: tuple[float, float]
    taper: float
    label: Label
    material: Material


class Piece:
    """A piece of furniture: solids around its own origin, which is the middle of its back edge on the floor.

    Args:
        width: Extent along x, metres; the piece spans -width/2 to width/2.
        depth: Extent along y, metres; the piece spans 0 to depth.
        height: Extent along z, metres.
        bottom: Where the lowest solid starts, metres above the floor.
    """

    def __init__(self, width: float, depth: float, height: float, bottom: float = 0.0) -> None:
        self.width = width
        self.depth = depth
        self.height = height
        self.bottom = bottom
        self.parts: list[Part] = []

    def box(
        self,
        low: tuple[float, float, float],
        high: tuple[float, float, float],
        label: Label,
        material: Material,
        turn: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        """Add a box that spans ``low`` to ``high`` before it is turned about its own middle."""
        self._add(Shape.BOX, low, high, 0.0, label, material, turn)

    def ellipsoid(
        self, low: tuple[float, float, float], high: tuple[float, float, float], label: Label, material: Material
    ) -> None:
        """Add the ellipsoid that fills the box from ``low`` to ``high``."""
        self._add(Shape.ELLIPSOID, low, high, 0.0, label, material, (1.0, 0.0))

    def frustum(
        self,
        foot: tuple[float, float, float],
        radius: float,
        height: float,
        label: Label,
        material: Material,
        taper: float = 0.0,
    ) -> None:
        """Add an upright cylinder or cone stump.

        Args:
            foot: The middle of its lower end.
            radius: Its radius half way up.
            height: Its height.
            label: Its class.
            material: Its surface.
            taper: How much wider its top is than its middle, as a fraction in (-1, 1).
        """
        x, y, z = foot
        low, high = (x - radius, y - radius, z), (x + radius, y + radius, z + height)
        self._add(Shape.FRUSTUM, low, high, taper, label, material, (1.0, 0.0))

    def _add(
        self,
        shape: Shape,
        low: tuple[float, float, float],
        high: tuple[float, float, float],
        taper: float,
        label: Label,
        material: Material,
        turn: tuple[float, float],
    ) -> None:
        centre = ((low[0] + high[0]) * 0.5, (low[1] + high[1]) * 0.5, (low[2] + high[2]) * 0.5)
        half = ((high[0] - low[0]) * 0.5, (high[1] - low[1]) * 0.5, (high[2] - low[2]) * 0.5)
        self.parts.append(Part(shape, centre, half, turn, taper, label, material))
