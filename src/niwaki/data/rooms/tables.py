"""Tables and desks, with what lies on them."""

from niwaki.data.rooms.clutter import book_stack, clutter, monitor
from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.materials import Material, any_solid
from niwaki.data.rooms.parts import Label, Piece

__all__ = ["coffee_table", "desk", "dining_table", "round_table"]


def dining_table(draws: Draws) -> Piece:
    """Return a long table on four legs."""
    return _table(
        draws, draws.uniform(1.1, 1.8), draws.uniform(0.75, 0.95), draws.uniform(0.7, 0.77), draws.whole(0, 3)
    )


def coffee_table(draws: Draws) -> Piece:
    """Return a low table, sometimes with a board below its top."""
    width, depth, height = draws.uniform(0.7, 1.2), draws.uniform(0.45, 0.65), draws.uniform(0.36, 0.48)
    piece = _table(draws, width, depth, height, draws.whole(0, 2))
    if draws.chance(0.4):
        low, high = (-width / 2 + 0.05, 0.05, 0.12), (width / 2 - 0.05, depth - 0.05, 0.15)
        piece.box(low, high, Label.TABLE, any_solid(draws))
        book_stack(piece, draws, (draws.uniform(-0.2, 0.2), depth / 2, 0.15))
    return piece


def _table(draws: Draws, width: float, depth: float, height: float, things: int) -> Piece:
    piece = Piece(width, depth, height)
    top = any_solid(draws)
    frame = top if draws.chance(0.6) else any_solid(draws)
    _board_on_legs(piece, draws, top, frame)
    clutter(piece, draws, (-width * 0.4, depth * 0.25, height), (width * 0.4, depth * 0.75, height), things)
    return piece


def _board_on_legs(piece: Piece, draws: Draws, top: Material, frame: Material) -> None:
    half, depth, height = piece.width / 2, piece.depth, piece.height
    thick, leg = draws.uniform(0.025, 0.05), draws.uniform(0.04, 0.08)
    piece.box((-half, 0.0, height - thick), (half, depth, height), Label.TABLE, top)
    if draws.chance(0.25):
        for x in (-half + 0.04, half - 0.08):
            piece.box((x, 0.04, 0.0), (x + 0.04, depth - 0.04, height - thick), Label.TABLE, frame)
        return
    for x in (-half + 0.03, half - 0.03 - leg):
        for y in (0.03, depth - 0.03 - leg):
            piece.box((x, y, 0.0), (x + leg, y + leg, height - thick), Label.TABLE, frame)
    if draws.chance(0.5):
        low, high = (-half + 0.05, 0.05, height - thick - 0.08), (half - 0.05, depth - 0.05, height - thick)
        piece.box(low, high, Label.TABLE, frame)


def round_table(draws: Draws) -> Piece:
    """Return a round table on a column."""
    radius, height = draws.uniform(0.35, 0.6), draws.uniform(0.5, 0.76)
    piece = Piece(2 * radius, 2 * radius, height)
    top = any_solid(draws)
    frame = top if draws.chance(0.5) else any_solid(draws)
    piece.frustum((0.0, radius, height - 0.035), radius, 0.035, Label.TABLE, top)
    piece.frustum((0.0, radius, 0.03), 0.05, height - 0.06, Label.TABLE, frame)
    piece.frustum((0.0, radius, 0.0), radius * 0.55, 0.03, Label.TABLE, frame)
    clutter(
        piece, draws, (-radius * 0.5, radius * 0.7, height), (radius * 0.5, radius * 1.3, height), draws.whole(0, 2)
    )
    return piece


def desk(draws: Draws) -> Piece:
    """Return a desk with its back to the wall: drawers on one side, mostly a monitor, papers and books."""
    width, depth, height = draws.uniform(1.0, 1.6), draws.uniform(0.6, 0.8), draws.uniform(0.71, 0.77)
    piece = Piece(width, depth, height)
    top = any_solid(draws)
    _board_on_legs(piece, draws, top, top)
    if draws.chance(0.6):
        x = draws.pick((-width / 2 + 0.05, width / 2 - 0.45))
        piece.box((x, 0.05, 0.05), (x + 0.4, depth - 0.03, height - 0.05), Label.TABLE, top)
    if draws.chance(0.75):
        monitor(piece, draws, (draws.uniform(-0.2, 0.2), 0.25, height))
    low, high = (-width * 0.42, depth * 0.45, height), (width * 0.42, depth * 0.8, height)
    clutter(piece, draws, low, high, draws.whole(1, 3))
    return piece
