"""Beds and sofas. Both are cushions on a base, in the same cloths, so that their shape tells them apart."""

from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.materials import any_solid, cloth, paint
from niwaki.data.rooms.parts import Label, Piece

__all__ = ["armchair", "bed", "sofa"]


def bed(draws: Draws) -> Piece:
    """Return a bed with its head at the wall: base, mattress, cover, pillows, mostly a headboard."""
    width, depth = draws.pick((0.95, 1.4, 1.6, 1.8)), draws.uniform(1.95, 2.15)
    base, top = draws.uniform(0.18, 0.34), draws.uniform(0.46, 0.62)
    piece = Piece(width, depth, top)
    frame, cover = any_solid(draws), cloth(draws)
    half = width / 2
    piece.box((-half, 0.05, 0.04), (half, depth, base), Label.BED, frame)
    piece.box((-half + 0.02, 0.06, base), (half - 0.02, depth - 0.02, top - 0.04), Label.BED, paint(draws))
    fold = draws.uniform(0.35, 0.8)
    hang = draws.uniform(0.05, base)
    piece.box((-half - 0.015, fold, hang), (half + 0.015, depth + 0.015, top), Label.BED, cover)
    if draws.chance(0.5):
        piece.box((-half - 0.02, depth - 0.7, hang), (half + 0.02, depth - 0.25, top + 0.02), Label.BED, cloth(draws))
    if draws.chance(0.8):
        head = draws.uniform(0.85, 1.25)
        piece.box((-half - 0.03, 0.0, 0.0), (half + 0.03, 0.06, head), Label.BED, draws.pick((frame, cover)))
        piece.height = head
    _pillows(piece, draws, top - 0.06)
    return piece


def _pillows(piece: Piece, draws: Draws, top: float) -> None:
    material = draws.pick((paint, cloth))(draws)
    count = 1 if piece.width < 1.2 else 2
    size = piece.width / count
    for index in range(count):
        x = -piece.width / 2 + index * size
        low = (x + size * 0.1, 0.08, top)
        piece.ellipsoid(low, (x + size * 0.9, 0.5, top + draws.uniform(0.16, 0.24)), Label.OBJECTS, material)


def sofa(draws: Draws) -> Piece:
    """Return a sofa for two to four: base, back, arms and cushions."""
    return _sofa(draws, seats=draws.whole(2, 3))


def armchair(draws: Draws) -> Piece:
    """Return a sofa for one."""
    return _sofa(draws, seats=1)


def _sofa(draws: Draws, seats: int) -> Piece:
    arm = draws.uniform(0.12, 0.24)
    width, depth = seats * draws.uniform(0.58, 0.75) + 2 * arm, draws.uniform(0.8, 1.0)
    seat, back, side = draws.uniform(0.38, 0.46), draws.uniform(0.72, 0.95), draws.uniform(0.54, 0.68)
    piece = Piece(width, depth, back)
    body = cloth(draws)
    cushion = body if draws.chance(0.6) else cloth(draws)
    half = width / 2
    piece.box((-half + arm, 0.05, 0.06), (half - arm, depth - 0.03, seat - 0.13), Label.SOFA, body)
    piece.box((-half, 0.0, 0.05), (half, 0.2, back), Label.SOFA, body)
    for x in (-half, half - arm):
        piece.box((x, 0.0, 0.04), (x + arm, depth, side), Label.SOFA, body)
    each = (width - 2 * arm) / seats
    for index in range(seats):
        x = -half + arm + index * each
        piece.box((x + 0.008, 0.2, seat - 0.13), (x + each - 0.008, depth, seat), Label.SOFA, cushion)
        piece.box((x + 0.02, 0.2, seat), (x + each - 0.02, 0.36, back + 0.03), Label.SOFA, cushion)
    for _ in range(draws.whole(0, 2)):
        x = draws.uniform(-half + arm + 0.2, half - arm - 0.2)
        piece.ellipsoid((x - 0.21, 0.34, seat - 0.02), (x + 0.21, 0.54, seat + 0.38), Label.OBJECTS, cloth(draws))
    return piece
