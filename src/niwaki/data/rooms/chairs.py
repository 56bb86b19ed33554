"""Chairs: on four legs, on a column with castors, and stools."""

from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.materials import Material, any_solid, cloth, metal
from niwaki.data.rooms.parts import Label, Piece

__all__ = ["chair", "office_chair", "stool"]


def chair(draws: Draws) -> Piece:
    """Return a chair on four legs that faces away from its own back (towards +y)."""
    width, depth, seat = draws.uniform(0.4, 0.5), draws.uniform(0.4, 0.5), draws.uniform(0.43, 0.48)
    back = draws.uniform(0.8, 1.02)
    piece = Piece(width, depth, back)
    frame = any_solid(draws)
    top = frame if draws.chance(0.5) else cloth(draws)
    half, leg = width / 2, draws.uniform(0.03, 0.05)
    for x in (-half, half - leg):
        piece.box((x, depth - leg, 0.0), (x + leg, depth, seat - 0.03), Label.CHAIR, frame)
        piece.box((x, 0.0, 0.0), (x + leg, leg, back), Label.CHAIR, frame)
    piece.box((-half, 0.0, seat - 0.05), (half, depth, seat), Label.CHAIR, top)
    _rest(piece, draws, seat, leg, draws.pick((frame, top)))
    return piece


def _rest(piece: Piece, draws: Draws, seat: float, leg: float, material: Material) -> None:
    half, back = piece.width / 2 - leg, piece.height
    kind = draws.unit()
    if kind < 0.55:
        piece.box((-half, 0.0, seat + draws.uniform(0.0, 0.2)), (half, 0.03, back), Label.CHAIR, material)
    elif kind < 0.8:
        for share in (0.35, 0.62, 0.9):
            z = seat + (back - seat) * share
            piece.box((-half, 0.0, z - 0.035), (half, 0.025, z + 0.035), Label.CHAIR, material)
    else:
        piece.box((-half, 0.0, back - 0.06), (half, 0.03, back), Label.CHAIR, material)
        for share in (-0.66, 0.0, 0.66):
            x = half * share
            piece.box((x - 0.025, 0.0, seat), (x + 0.025, 0.025, back), Label.CHAIR, material)


def office_chair(draws: Draws) -> Piece:
    """Return a chair on a column: crossed feet, a seat, a back, sometimes arms."""
    seat, back = draws.uniform(0.44, 0.52), draws.uniform(0.9, 1.15)
    piece = Piece(0.6, 0.6, back)
    frame, cover = metal(draws), cloth(draws)
    for turn in ((1.0, 0.0), (0.0, 1.0)):
        piece.box((-0.29, 0.27, 0.03), (0.29, 0.33, 0.09), Label.CHAIR, frame, turn)
    piece.frustum((0.0, 0.3, 0.06), 0.03, seat - 0.12, Label.CHAIR, frame)
    piece.box((-0.25, 0.06, seat - 0.08), (0.25, 0.56, seat), Label.CHAIR, cover)
    piece.box((-0.23, 0.0, seat + 0.08), (0.23, 0.07, back), Label.CHAIR, cover)
    if draws.chance(0.6):
        for x in (-0.29, 0.25):
            piece.box((x, 0.12, seat + 0.18), (x + 0.04, 0.45, seat + 0.21), Label.CHAIR, frame)
            piece.box((x, 0.26, seat - 0.06), (x + 0.04, 0.31, seat + 0.18), Label.CHAIR, frame)
    return piece


def stool(draws: Draws) -> Piece:
    """Return a round stool."""
    height, radius = draws.uniform(0.42, 0.7), draws.uniform(0.15, 0.2)
    piece = Piece(2 * radius, 2 * radius, height)
    frame = any_solid(draws)
    piece.frustum((0.0, radius, height - 0.05), radius, 0.05, Label.CHAIR, draws.pick((frame, cloth(draws))))
    for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        piece.frustum((x * radius * 0.6, radius + y * radius * 0.6, 0.0), 0.02, height - 0.05, Label.CHAIR, frame)
    return piece
