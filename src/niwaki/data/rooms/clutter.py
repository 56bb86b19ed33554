"""Small things, loose or on top of others: books, vases, lamps, plants, bins, boxes, balls, screens."""

from collections.abc import Callable

from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.materials import Material, Texture, any_solid, bare, cloth, leaf, metal, paint, with_texture
from niwaki.data.rooms.parts import Label, Piece

__all__ = [
    "basket", "bin_", "book_row", "book_stack", "carton", "clutter", "floor_lamp", "monitor", "plant", "screen",
    "table_lamp",
]  # fmt: skip

Spot = tuple[float, float, float]


def spines(draws: Draws) -> Material:
    """Return a row of book spines, each in its own colour."""
    pale, dark = draws.uniform(0.6, 0.95), draws.uniform(0.05, 0.3)
    return with_texture(draws, Texture.SPINES, (pale, pale, pale), (dark, dark, dark), draws.uniform(0.028, 0.05))


def screen(draws: Draws) -> Material:
    """Return a television's or monitor's face: mostly dark, sometimes with a picture."""
    lit = draws.chance(0.4)
    a = bare(draws).a if lit else (0.04, 0.045, 0.05)
    b = bare(draws).a if lit else (0.16, 0.17, 0.19)
    texture = Texture.ART if lit else Texture.SCREEN
    return Material(texture, a, b, float(draws.whole(2, 4)), 0.6 if lit else 0.0, draws.unit())


def book_row(piece: Piece, draws: Draws, low: Spot, high: Spot) -> None:
    """Stand books on a shelf that spans ``low`` to ``high``: one or two rows of differing height."""
    x, end = low[0], high[0]
    while end - x > 0.12:
        stop = min(x + draws.uniform(0.15, 0.7), end)
        top = low[2] + (high[2] - low[2]) * draws.uniform(0.62, 0.95)
        front = high[1] - draws.uniform(0.0, 0.06)
        piece.box((x, low[1], low[2]), (stop, front, top), Label.BOOKS, spines(draws))
        x = stop + (draws.uniform(0.05, 0.3) if draws.chance(0.3) else 0.004)


def book_stack(piece: Piece, draws: Draws, spot: Spot) -> None:
    """Lay one to five books on each other, each turned a little."""
    x, y, z = spot
    for _ in range(draws.whole(1, 5)):
        w, d, h = draws.uniform(0.08, 0.13), draws.uniform(0.11, 0.16), draws.uniform(0.02, 0.05)
        piece.box((x - d, y - w, z), (x + d, y + w, z + h), Label.BOOKS, bare(draws), draws.turn(0.5))
        z += h


def _vase(piece: Piece, draws: Draws, spot: Spot) -> None:
    radius, height = draws.uniform(0.035, 0.08), draws.uniform(0.1, 0.3)
    piece.frustum(spot, radius, height, Label.OBJECTS, bare(draws), draws.uniform(-0.4, 0.4))


def _ball(piece: Piece, draws: Draws, spot: Spot) -> None:
    x, y, z = spot
    radius = draws.uniform(0.05, 0.12)
    low, high = (x - radius, y - radius, z), (x + radius, y + radius, z + 2 * radius)
    piece.ellipsoid(low, high, Label.OBJECTS, bare(draws))


def _package(piece: Piece, draws: Draws, spot: Spot) -> None:
    x, y, z = spot
    w, d, h = draws.uniform(0.05, 0.14), draws.uniform(0.05, 0.12), draws.uniform(0.05, 0.22)
    piece.box(
        (x - w, y - d, z), (x + w, y + d, z + h), Label.OBJECTS, draws.pick((bare, cloth))(draws), draws.turn(0.4)
    )


def table_lamp(piece: Piece, draws: Draws, spot: Spot) -> None:
    """Stand a lamp with a shade on something."""
    x, y, z = spot
    height = draws.uniform(0.16, 0.3)
    piece.frustum(spot, 0.07, 0.03, Label.OBJECTS, metal(draws))
    piece.frustum((x, y, z + 0.03), 0.02, height, Label.OBJECTS, metal(draws))
    piece.frustum((x, y, z + height), 0.13, 0.2, Label.OBJECTS, _shade(draws), -draws.uniform(0.1, 0.4))


def _shade(draws: Draws) -> Material:
    material = draws.pick((paint, cloth))(draws)
    return material._replace(glow=draws.uniform(0.5, 0.9) if draws.chance(0.5) else 0.0)


def monitor(piece: Piece, draws: Draws, spot: Spot, width: float | None = None) -> None:
    """Stand a monitor or television on something, facing +y."""
    x, y, z = spot
    half = (draws.uniform(0.42, 0.62) if width is None else width) / 2
    height = half * draws.uniform(1.1, 1.3)
    frame = with_texture(draws, Texture.PLAIN, (0.1, 0.1, 0.11), (0.07, 0.07, 0.07), 1.0)
    piece.box((x - half * 0.4, y - 0.09, z), (x + half * 0.4, y + 0.09, z + 0.02), Label.TV, frame)
    piece.box((x - 0.03, y - 0.03, z), (x + 0.03, y + 0.01, z + 0.2), Label.TV, frame)
    piece.box((x - half, y - 0.03, z + 0.07), (x + half, y + 0.02, z + 0.07 + height), Label.TV, frame)
    edge = 0.015
    low, high = (x - half + edge, y + 0.0, z + 0.07 + edge), (x + half - edge, y + 0.024, z + 0.07 + height - edge)
    piece.box(low, high, Label.TV, screen(draws))


_SMALL: tuple[Callable[[Piece, Draws, Spot], None], ...] = (book_stack, book_stack, _vase, _ball, _package, table_lamp)


def clutter(piece: Piece, draws: Draws, low: Spot, high: Spot, count: int) -> None:
    """Strew small things over the level area from ``low`` to ``high`` (their z is the same)."""
    for index in range(count):
        share = (index + draws.uniform(0.25, 0.75)) / count
        x = low[0] + (high[0] - low[0]) * share
        y = draws.uniform(low[1], high[1])
        draws.pick(_SMALL)(piece, draws, (x, y, low[2]))


def floor_lamp(draws: Draws) -> Piece:
    """Return a lamp on a pole."""
    height = draws.uniform(1.4, 1.75)
    piece = Piece(0.4, 0.4, height)
    pole = metal(draws)
    piece.frustum((0.0, 0.2, 0.0), 0.14, 0.03, Label.OBJECTS, pole)
    piece.frustum((0.0, 0.2, 0.03), 0.015, height - 0.3, Label.OBJECTS, pole)
    piece.frustum((0.0, 0.2, height - 0.3), 0.18, 0.28, Label.OBJECTS, _shade(draws), -draws.uniform(0.0, 0.4))
    return piece


def plant(draws: Draws) -> Piece:
    """Return a plant in a pot."""
    radius, height = draws.uniform(0.12, 0.2), draws.uniform(0.7, 1.5)
    piece = Piece(0.6, 0.6, height)
    pot, green = any_solid(draws), leaf(draws)
    piece.frustum((0.0, 0.3, 0.0), radius, 0.3, Label.OBJECTS, pot, 0.2)
    piece.frustum((0.0, 0.3, 0.3), 0.02, height * 0.4, Label.OBJECTS, green)
    for _ in range(draws.whole(3, 5)):
        x, y, z = draws.uniform(-0.16, 0.16), 0.3 + draws.uniform(-0.14, 0.14), draws.uniform(0.5, height - 0.15)
        w, h = draws.uniform(0.1, 0.22), draws.uniform(0.1, 0.22)
        piece.ellipsoid((x - w, y - w, z - h), (x + w, y + w, z + h), Label.OBJECTS, green)
    return piece


def bin_(draws: Draws) -> Piece:
    """Return a waste-paper bin."""
    radius, height = draws.uniform(0.12, 0.18), draws.uniform(0.28, 0.5)
    piece = Piece(2 * radius, 2 * radius, height)
    material = draws.pick((metal, bare))(draws)
    piece.frustum((0.0, radius, 0.0), radius * 0.85, height, Label.OBJECTS, material, draws.uniform(0.0, 0.18))
    return piece


def carton(draws: Draws) -> Piece:
    """Return a carton or suitcase, sometimes two on each other."""
    w, d, h = draws.uniform(0.2, 0.6), draws.uniform(0.2, 0.45), draws.uniform(0.15, 0.5)
    piece = Piece(w, d, h)
    brown = with_texture(draws, Texture.PLAIN, (0.66, 0.52, 0.36), (0.56, 0.44, 0.3), 1.0)
    piece.box((-w / 2, 0.0, 0.0), (w / 2, d, h), Label.OBJECTS, draws.pick((brown, bare(draws), cloth(draws))))
    if draws.chance(0.4):
        high = (w * 0.4, d * 0.9, h * draws.uniform(1.4, 1.8))
        piece.box((-w * 0.35, d * 0.1, h), high, Label.OBJECTS, draws.pick((brown, bare(draws))), draws.turn(0.1))
    return piece


def basket(draws: Draws) -> Piece:
    """Return a ball or a cushion on the floor."""
    radius = draws.uniform(0.12, 0.3)
    flat = draws.uniform(0.5, 1.0)
    piece = Piece(2 * radius, 2 * radius, 2 * radius * flat)
    material = draws.pick((bare, cloth))(draws)
    low, high = (-radius, 0.0, 0.0), (radius, 2 * radius, 2 * radius * flat)
    piece.ellipsoid(low, high, Label.OBJECTS, material)
    return piece
