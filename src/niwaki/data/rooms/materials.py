"""What surfaces are made of. Colours and textures are shared between classes on purpose: shape must tell them apart."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from niwaki.data.rooms.draws import Draws

__all__ = [
    "Colour", "Material", "Texture", "any_floor", "any_paint", "any_solid", "bare", "cloth", "leaf", "metal", "paint",
    "plain", "shade", "with_texture", "wood",
]  # fmt: skip

Colour: TypeAlias = tuple[float, float, float]


class Texture(IntEnum):
    """The patterns a surface can have; `niwaki.data.rooms.textures` paints them."""

    PLAIN = 0
    WOOD = 1
    PLANKS = 2
    TILES = 3
    CARPET = 4
    STRIPES = 5
    DIAMONDS = 6
    WEAVE = 7
    CHECKS = 8
    SPINES = 9
    ART = 10
    SCREEN = 11
    OUTDOORS = 12
    BLINDS = 13
    DRAWERS = 14
    PANELS = 15
    BRICKS = 16
    FOLDS = 17
    LEAVES = 18


class Material(NamedTuple):
    """A surface: a pattern that goes from colour ``a`` to colour ``b`` (as displayed, 0 to 1).

    Attributes:
        texture: The pattern.
        a: First colour.
        b: Second colour.
        scale: The pattern's period in metres, or a count for patterns that fill the face.
        glow: The share of the colour that needs no light, 0 to 1.
        phase: Makes two surfaces of one kind differ, 0 to 1.
    """

    texture: Texture
    a: Colour
    b: Colour
    scale: float = 1.0
    glow: float = 0.0
    phase: float = 0.0


_WOODS: tuple[Colour, ...] = (
    (0.72, 0.55, 0.36), (0.58, 0.40, 0.24), (0.40, 0.26, 0.16), (0.82, 0.70, 0.52),
    (0.64, 0.46, 0.30), (0.30, 0.20, 0.14), (0.88, 0.85, 0.80), (0.50, 0.30, 0.20),
)  # fmt: skip
_CLOTHS: tuple[Colour, ...] = (
    (0.55, 0.53, 0.50), (0.75, 0.70, 0.62), (0.30, 0.36, 0.48), (0.55, 0.25, 0.22), (0.36, 0.44, 0.34),
    (0.42, 0.32, 0.26), (0.86, 0.84, 0.80), (0.22, 0.22, 0.25), (0.64, 0.56, 0.44), (0.45, 0.55, 0.62),
    (0.62, 0.42, 0.48), (0.70, 0.58, 0.30),
)  # fmt: skip
_PAINTS: tuple[Colour, ...] = (
    (0.90, 0.88, 0.84), (0.86, 0.80, 0.70), (0.78, 0.82, 0.84), (0.80, 0.84, 0.76), (0.90, 0.84, 0.66),
    (0.74, 0.72, 0.70), (0.82, 0.70, 0.64), (0.60, 0.66, 0.70), (0.70, 0.62, 0.50), (0.92, 0.92, 0.92),
)  # fmt: skip
_METALS: tuple[Colour, ...] = ((0.60, 0.60, 0.62), (0.25, 0.25, 0.27), (0.80, 0.80, 0.80), (0.70, 0.58, 0.34))


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour made lighter or darker by a factor, at most white."""
    return (min(colour[0] * factor, 1.0), min(colour[1] * factor, 1.0), min(colour[2] * factor, 1.0))


def _near(draws: Draws, colour: Colour) -> Colour:
    factor = draws.uniform(0.8, 1.15)
    r, g, b = (min(max(c * factor + draws.uniform(-0.04, 0.04), 0.02), 1.0) for c in colour)
    return (r, g, b)


def with_texture(draws: Draws, texture: Texture, a: Colour, b: Colour, scale: float) -> Material:
    """Return a material with a random phase."""
    return Material(texture, a, b, scale, 0.0, draws.unit())


def plain(draws: Draws, colour: Colour) -> Material:
    """Return a smooth surface of about the given colour."""
    near = _near(draws, colour)
    return with_texture(draws, Texture.PLAIN, near, shade(near, 0.9), 1.0)


def bare(draws: Draws) -> Material:
    """Return a smooth surface of any bright or dark colour, such as a toy or a vase."""
    grey, vivid = draws.unit(), draws.pick((0.15, 0.35, 0.6))
    r, g, b = (grey + (draws.unit() - grey) * vivid for _ in range(3))
    return plain(draws, (r, g, b))


def wood(draws: Draws) -> Material:
    """Return wood with a visible grain."""
    colour = _near(draws, draws.pick(_WOODS))
    return with_texture(draws, Texture.WOOD, colour, shade(colour, draws.uniform(0.65, 0.85)), draws.uniform(0.6, 1.4))


def paint(draws: Draws) -> Material:
    """Return a plainly painted surface in a wall's colour."""
    return plain(draws, draws.pick(_PAINTS))


def metal(draws: Draws) -> Material:
    """Return a plain metal."""
    return plain(draws, draws.pick(_METALS))


def leaf(draws: Draws) -> Material:
    """Return foliage."""
    colour = _near(draws, draws.pick(((0.25, 0.42, 0.18), (0.36, 0.50, 0.24), (0.20, 0.34, 0.22))))
    return with_texture(draws, Texture.LEAVES, colour, shade(colour, 0.35), 0.06)


def cloth(draws: Draws) -> Material:
    """Return a woven, striped, checked or plain cloth."""
    colour = _near(draws, draws.pick(_CLOTHS))
    other = _near(draws, draws.pick(_CLOTHS))
    texture = draws.pick((Texture.WEAVE, Texture.WEAVE, Texture.WEAVE, Texture.STRIPES, Texture.CHECKS))
    if texture is Texture.WEAVE:
        return with_texture(draws, texture, colour, shade(colour, 0.8), 0.04)
    return with_texture(draws, texture, colour, other, draws.uniform(0.08, 0.3))


def any_floor(draws: Draws) -> Material:
    """Return a floor: planks, tiles, carpet or plain."""
    texture = draws.pick((Texture.PLANKS, Texture.PLANKS, Texture.TILES, Texture.CARPET, Texture.CARPET))
    if texture is Texture.PLANKS:
        colour = _near(draws, draws.pick(_WOODS))
        return with_texture(draws, texture, colour, shade(colour, 0.6), draws.uniform(0.1, 0.2))
    if texture is Texture.TILES:
        colour = _near(draws, draws.pick((*_PAINTS, *_CLOTHS)))
        return with_texture(draws, texture, colour, shade(colour, draws.pick((0.6, 1.2))), draws.uniform(0.25, 0.6))
    colour = _near(draws, draws.pick(_CLOTHS))
    return with_texture(draws, texture, colour, shade(colour, 0.78), 0.05)


def any_paint(draws: Draws) -> Material:
    """Return a wall: painted, papered, of brick or of boards."""
    colour = _near(draws, draws.pick(_PAINTS))
    kind = draws.unit()
    if kind < 0.62:
        return with_texture(draws, Texture.PLAIN, colour, shade(colour, 0.93), 1.0)
    if kind < 0.74:
        return with_texture(draws, Texture.STRIPES, colour, shade(colour, 0.88), draws.uniform(0.1, 0.3))
    if kind < 0.86:
        return with_texture(draws, Texture.DIAMONDS, colour, shade(colour, 0.8), draws.uniform(0.12, 0.3))
    if kind < 0.93:
        brick = _near(draws, draws.pick(((0.60, 0.36, 0.28), (0.80, 0.78, 0.74))))
        return with_texture(draws, Texture.BRICKS, brick, shade(brick, 1.3), 0.22)
    boards = _near(draws, draws.pick(_WOODS))
    return with_texture(draws, Texture.PLANKS, boards, shade(boards, 0.7), 0.14)


_SOLIDS: tuple[Callable[[Draws], Material], ...] = (wood, wood, wood, wood, paint, paint, metal, bare)


def any_solid(draws: Draws) -> Material:
    """Return what tables, chairs and cupboards are made of."""
    return draws.pick(_SOLIDS)(draws)
