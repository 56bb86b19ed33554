"""Cupboards, chests, shelves, stands and doors: the class NYUv2 calls furniture."""

from niwaki.data.rooms.clutter import book_row, clutter, monitor, table_lamp
from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.materials import Material, Texture, any_solid, metal, shade
from niwaki.data.rooms.parts import Label, Piece

__all__ = ["bookcase", "chest", "door", "nightstand", "tv_stand", "wardrobe"]


def _front(draws: Draws, texture: Texture, body: Material, columns: int, rows: int) -> Material:
    dark = shade(body.a, draws.uniform(0.3, 0.6))
    return Material(texture, body.a, dark, float(columns * 16 + rows), 0.0, draws.unit())


def _cabinet(piece: Piece, draws: Draws, texture: Texture, columns: int, rows: int) -> Material:
    half, depth, height = piece.width / 2, piece.depth, piece.height
    body = any_solid(draws)
    foot = draws.pick((0.0, 0.0, 0.08, 0.15))
    piece.box((-half, 0.0, foot), (half, depth - 0.02, height), Label.FURNITURE, body)
    front = _front(draws, texture, body, columns, rows)
    piece.box((-half + 0.01, depth - 0.02, foot + 0.02), (half - 0.01, depth, height - 0.02), Label.FURNITURE, front)
    if foot:
        for x in (-half, half - 0.05):
            for y in (0.0, depth - 0.07):
                piece.box((x, y, 0.0), (x + 0.05, y + 0.05, foot), Label.FURNITURE, body)
    return body


def wardrobe(draws: Draws) -> Piece:
    """Return a tall cupboard with doors."""
    columns = draws.whole(2, 3)
    piece = Piece(columns * draws.uniform(0.42, 0.6), draws.uniform(0.5, 0.62), draws.uniform(1.75, 2.25))
    _cabinet(piece, draws, draws.pick((Texture.DRAWERS, Texture.PANELS)), columns, 1)
    return piece


def chest(draws: Draws) -> Piece:
    """Return a chest of drawers or sideboard with things on it."""
    columns, rows = draws.whole(1, 3), draws.whole(2, 4)
    width, depth, height = draws.uniform(0.7, 1.5), draws.uniform(0.4, 0.5), draws.uniform(0.65, 1.05)
    piece = Piece(width, depth, height)
    _cabinet(piece, draws, draws.pick((Texture.DRAWERS, Texture.DRAWERS, Texture.PANELS)), columns, rows)
    clutter(piece, draws, (-width * 0.42, 0.15, height), (width * 0.42, 0.25, height), draws.whole(0, 3))
    return piece


def nightstand(draws: Draws) -> Piece:
    """Return a small chest, mostly with a lamp."""
    width, depth, height = draws.uniform(0.38, 0.5), draws.uniform(0.36, 0.42), draws.uniform(0.42, 0.6)
    piece = Piece(width, depth, height)
    _cabinet(piece, draws, Texture.DRAWERS, 1, draws.whole(1, 3))
    if draws.chance(0.65):
        table_lamp(piece, draws, (0.0, depth * 0.4, height))
    else:
        clutter(piece, draws, (-0.05, depth * 0.3, height), (0.05, depth * 0.6, height), 1)
    return piece


def tv_stand(draws: Draws) -> Piece:
    """Return a low board with a television on it."""
    width, height = draws.uniform(1.1, 1.9), draws.uniform(0.38, 0.6)
    piece = Piece(width, 0.42, height)
    _cabinet(piece, draws, draws.pick((Texture.DRAWERS, Texture.PANELS)), draws.whole(2, 4), draws.whole(1, 2))
    monitor(piece, draws, (draws.uniform(-0.1, 0.1), 0.2, height), width=draws.uniform(0.9, 1.35))
    if draws.chance(0.4):
        clutter(piece, draws, (-width * 0.46, 0.25, height), (-width * 0.4, 0.3, height), 1)
    return piece


def bookcase(draws: Draws) -> Piece:
    """Return open shelves, mostly full of books."""
    width, depth = draws.uniform(0.7, 1.5), draws.uniform(0.26, 0.34)
    shelves = draws.whole(2, 6)
    height = shelves * draws.uniform(0.3, 0.36) + 0.1
    piece = Piece(width, depth, height)
    body, half, thick = any_solid(draws), width / 2, draws.uniform(0.018, 0.035)
    piece.box((-half, 0.0, 0.0), (half, 0.015, height), Label.FURNITURE, body)
    for x in (-half, half - thick):
        piece.box((x, 0.0, 0.0), (x + thick, depth, height), Label.FURNITURE, body)
    step = (height - 0.08) / shelves
    for index in range(shelves + 1):
        z = 0.06 + index * step
        piece.box((-half, 0.0, z - thick), (half, depth - 0.005, z), Label.FURNITURE, body)
        low, high = (-half + thick + 0.01, 0.02, z), (half - thick - 0.01, depth - 0.02, z + step - thick)
        if index < shelves and draws.chance(0.85):
            book_row(piece, draws, low, high)
        elif index < shelves:
            clutter(piece, draws, (low[0] + 0.15, 0.12, z), (high[0] - 0.15, 0.16, z), draws.whole(1, 2))
    return piece


def door(draws: Draws) -> Piece:
    """Return a closed door in its frame."""
    width, height = draws.uniform(0.8, 0.95), draws.uniform(1.98, 2.1)
    piece = Piece(width + 0.16, 0.05, height + 0.08)
    leaf, half = any_solid(draws), width / 2
    frame = leaf if draws.chance(0.5) else any_solid(draws)
    for low, high in ((-half - 0.08, -half), (half, half + 0.08)):
        piece.box((low, 0.0, 0.0), (high, 0.045, height + 0.08), Label.FURNITURE, frame)
    piece.box((-half, 0.0, height), (half, 0.045, height + 0.08), Label.FURNITURE, frame)
    front = _front(draws, Texture.PANELS, leaf, draws.whole(1, 2), draws.whole(1, 3))
    piece.box((-half, 0.0, 0.0), (half, 0.025, height), Label.FURNITURE, front)
    x = draws.pick((-half + 0.06, half - 0.12))
    piece.box((x, 0.02, 1.0), (x + 0.06, 0.07, 1.04), Label.FURNITURE, metal(draws))
    return piece
