"""What hangs on walls: windows, curtains, pictures, televisions and shelves."""

from niwaki.data.rooms.clutter import book_row, clutter, screen
from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.materials import Material, Texture, any_solid, bare, cloth, paint, with_texture
from niwaki.data.rooms.parts import Label, Piece

__all__ = ["picture", "shelf", "wall_tv", "window"]


def window(draws: Draws) -> Piece:
    """Return a window with a frame and panes, by day or by night, sometimes with blinds or curtains."""
    width, low = draws.uniform(0.8, 1.9), draws.uniform(0.75, 1.0)
    high = low + draws.uniform(0.95, 1.35)
    half = width / 2
    frame = draws.pick((paint, paint, any_solid))(draws)
    drape = draws.chance(0.35)
    piece = Piece(width + (0.7 if drape else 0.0), 0.14, high + 0.1, low - 0.05)
    for x in (-half, half - 0.06):
        piece.box((x, 0.0, low), (x + 0.06, 0.05, high), Label.WINDOW, frame)
    for z in (low - 0.02, high - 0.05):
        piece.box((-half - 0.03, 0.0, z), (half + 0.03, 0.07, z + 0.06), Label.WINDOW, frame)
    panes = draws.whole(1, 3)
    for index in range(1, panes):
        x = -half + width * index / panes
        piece.box((x - 0.025, 0.0, low), (x + 0.025, 0.045, high), Label.WINDOW, frame)
    if draws.chance(0.3):
        z = low + (high - low) * draws.uniform(0.45, 0.7)
        piece.box((-half, 0.0, z - 0.02), (half, 0.045, z + 0.02), Label.WINDOW, frame)
    piece.box((-half, 0.0, low), (half, 0.012, high), Label.WINDOW, _pane(draws))
    if drape:
        _curtains(piece, draws, half, high)
    return piece


def _pane(draws: Draws) -> Material:
    kind = draws.unit()
    if kind < 0.2:
        slat = draws.uniform(0.75, 1.0)
        return Material(Texture.BLINDS, (slat, slat, slat * 0.95), (0.5, 0.5, 0.48), 0.06, 0.5, draws.unit())
    if kind < 0.35:
        return Material(Texture.OUTDOORS, (0.05, 0.06, 0.1), (0.1, 0.1, 0.13), 1.0, 0.5, draws.unit())
    sky = draws.pick(((0.85, 0.93, 1.0), (0.95, 0.95, 0.95), (0.65, 0.8, 0.98)))
    land = draws.pick(((0.4, 0.5, 0.35), (0.6, 0.57, 0.54), (0.35, 0.38, 0.36)))
    return Material(Texture.OUTDOORS, sky, land, 1.0, 0.95, draws.unit())


def _curtains(piece: Piece, draws: Draws, half: float, high: float) -> None:
    fabric = cloth(draws)
    folds = with_texture(
        draws, Texture.FOLDS, fabric.a, (fabric.a[0] * 0.6, fabric.a[1] * 0.6, fabric.a[2] * 0.6), 0.11
    )
    end = draws.pick((0.06, piece.bottom - 0.1))
    inner = draws.uniform(0.05, 0.25)
    piece.box((-half - 0.32, 0.06, end), (-half + inner, 0.13, high + 0.08), Label.WINDOW, folds)
    piece.box((half - inner, 0.06, end), (half + 0.32, 0.13, high + 0.08), Label.WINDOW, folds)


def picture(draws: Draws) -> Piece:
    """Return a framed picture or a poster."""
    width, height = draws.uniform(0.35, 1.3), draws.uniform(0.35, 1.0)
    low = draws.uniform(1.05, 1.4)
    piece = Piece(width, 0.04, low + height, low)
    half, edge = width / 2, draws.uniform(0.0, 0.05)
    a, b = bare(draws).a, bare(draws).a
    art = Material(Texture.ART, a, b, float(draws.whole(1, 5)), 0.0, draws.unit())
    piece.box((-half, 0.0, low), (half, 0.025, low + height), Label.PICTURE, any_solid(draws))
    inside = (half - edge, 0.032, low + height - edge)
    if edge > 0.02 and draws.chance(0.5):
        piece.box(
            (-half + edge, 0.0, low + edge), (half - edge, 0.028, low + height - edge), Label.PICTURE, paint(draws)
        )
        edge += 0.12 * width
        inside = (half - edge, 0.032, low + height - edge)
    piece.box((-half + edge, 0.0, low + edge), inside, Label.PICTURE, art)
    return piece


def wall_tv(draws: Draws) -> Piece:
    """Return a television on the wall."""
    width, low = draws.uniform(0.9, 1.4), draws.uniform(0.85, 1.2)
    height, half = width * 0.58, width / 2
    piece = Piece(width, 0.08, low + height, low)
    frame = with_texture(draws, Texture.PLAIN, (0.1, 0.1, 0.11), (0.07, 0.07, 0.07), 1.0)
    piece.box((-half, 0.0, low), (half, 0.07, low + height), Label.TV, frame)
    piece.box((-half + 0.02, 0.0, low + 0.03), (half - 0.02, 0.076, low + height - 0.02), Label.TV, screen(draws))
    return piece


def shelf(draws: Draws) -> Piece:
    """Return a board on the wall with books or small things on it."""
    width, z = draws.uniform(0.6, 1.2), draws.uniform(1.2, 1.6)
    piece = Piece(width, 0.24, z + 0.3, z - 0.03)
    piece.box((-width / 2, 0.0, z - 0.03), (width / 2, 0.24, z), Label.FURNITURE, any_solid(draws))
    if draws.chance(0.7):
        book_row(piece, draws, (-width * 0.45, 0.02, z), (width * 0.3, 0.2, z + 0.28))
    else:
        clutter(piece, draws, (-width * 0.4, 0.1, z), (width * 0.4, 0.14, z), draws.whole(1, 3))
    return piece
