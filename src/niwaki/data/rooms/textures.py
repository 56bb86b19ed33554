"""Patterns on surfaces: each gives, for every pixel, how far its colour lies between the material's two."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from niwaki.data.rooms.arrays import Floats
from niwaki.data.rooms.materials import Texture
from niwaki.data.rooms.patterns import cell_value, smooth_noise

__all__ = ["Area", "pattern"]


@dataclass(frozen=True)
class Area:
    """Pixels that show one kind of texture.

    Attributes:
        uv: Position across and up the face, metres, ``[2, n]``.
        size: The face's extent across and up, metres, ``[2, n]``.
        scale: The material's scale, ``[n]``.
        phase: The material's phase, ``[n]``.
        pixel: Metres that a pixel spans, ``[n]``.
    """

    uv: Floats
    size: Floats
    scale: Floats
    phase: Floats
    pixel: Floats

    @property
    def u(self) -> Floats:
        """Position across the face, metres, ``[n]``."""
        row: Floats = self.uv[0]
        return row

    @property
    def v(self) -> Floats:
        """Position up the face, metres, ``[n]``."""
        row: Floats = self.uv[1]
        return row

    @property
    def width(self) -> Floats:
        """The face's extent along u, metres, ``[n]``."""
        row: Floats = self.size[0]
        return row

    @property
    def height(self) -> Floats:
        """The face's extent along v, metres, ``[n]``."""
        row: Floats = self.size[1]
        return row

    def detail(self, period: Floats | float) -> Floats:
        """Return how much of a pattern of that period (metres) survives between pixels, 0 to 1."""
        kept: Floats = np.clip(period / self.pixel * np.float32(0.5) - np.float32(0.6), 0, 1)
        return kept


def pattern(texture: Texture, area: Area) -> Floats:
    """Return how far each pixel's colour lies between a material's two colours.

    Args:
        texture: The pattern.
        area: Where it is seen.

    Returns:
        Shares in [0, 1], ``[n]``, or ``[3, n]`` for patterns of many colours.
    """
    return _PATTERNS[texture](area)


def _whole(x: Floats) -> Floats:
    return np.floor(x)


def _wave(x: Floats) -> Floats:
    # A triangle wave bent into a soft one: 0 at whole numbers, 1 half way between.
    t = np.abs((x - np.floor(x)) * 2 - 1)
    wave: Floats = 1 - t * t * (3 - 2 * t)
    return wave


def _fade(mix: Floats, keep: Floats, level: float) -> Floats:
    return np.float32(level) + (mix - np.float32(level)) * keep


def _plain(area: Area) -> Floats:
    return smooth_noise(area.u * 16 + area.phase * 256, area.v * 16)


def _wood(area: Area) -> Floats:
    long_side = area.width >= area.height
    along, across = np.where(long_side, area.u, area.v), np.where(long_side, area.v, area.u)
    grain = smooth_noise(along * 12 * area.scale + area.phase * 256, across * 160 * area.scale)
    return _fade(grain, area.detail(0.12), 0.5)


def _planks(area: Area) -> Floats:
    row = _whole(area.v / area.scale)
    lane = row.astype(np.int32)
    along = area.u / np.float32(1.1) + cell_value(lane) * 7
    board = along.astype(np.int32)
    tint = cell_value(lane, board)
    grain = smooth_noise(area.u * 14 + tint * 256, area.v * 150)
    inside = area.v / area.scale - row
    seam = (inside < 0.05) | (np.abs(along - np.floor(along)) < 0.008)
    mix = tint * np.float32(0.45) + grain * np.float32(0.3)
    return np.where(seam, 1, mix) * area.detail(area.scale) + (1 - area.detail(area.scale)) * np.float32(0.4)


def _tiles(area: Area) -> Floats:
    x, y = area.u / area.scale + area.phase, area.v / area.scale
    column, row = np.floor(x), np.floor(y)
    gap = (x - column < 0.05) | (y - row < 0.05)
    tint = cell_value(column.astype(np.int32), row.astype(np.int32)) * np.float32(0.25)
    return _fade(np.where(gap, 1, tint), area.detail(area.scale * np.float32(0.4)), 0.2)


def _bricks(area: Area) -> Floats:
    y = area.v / area.scale * 3
    row = np.floor(y)
    x = area.u / area.scale + row * np.float32(0.5)
    column = np.floor(x)
    gap = (x - column < 0.06) | (y - row < 0.16)
    tint = cell_value(column.astype(np.int32), row.astype(np.int32)) * np.float32(0.4)
    return _fade(np.where(gap, 1, tint), area.detail(area.scale * np.float32(0.4)), 0.35)


def _carpet(area: Area) -> Floats:
    fine = smooth_noise(area.u * 130 + area.phase * 256, area.v * 130)
    broad = smooth_noise(area.u * 14, area.v * 14 + area.phase * 256)
    return fine * np.float32(0.6) + broad * np.float32(0.4)


def _stripes(area: Area) -> Floats:
    x = area.u / area.scale + area.phase
    return _fade((x - np.floor(x) < 0.5).astype(np.float32), area.detail(area.scale * np.float32(0.5)), 0.5)


def _diamonds(area: Area) -> Floats:
    x, y = area.u / area.scale, area.v / area.scale
    away = np.abs(x - np.floor(x) - np.float32(0.5)) + np.abs(y - np.floor(y) - np.float32(0.5))
    return _fade((away < 0.27).astype(np.float32), area.detail(area.scale * np.float32(0.5)), 0.15)


def _weave(area: Area) -> Floats:
    fine = smooth_noise(area.u * 200 + area.phase * 256, area.v * 200)
    folds = smooth_noise(area.u * 22, area.v * 22 + area.phase * 256)
    return fine * np.float32(0.35) + folds * np.float32(0.65)


def _checks(area: Area) -> Floats:
    x, y = area.u / area.scale + area.phase, area.v / area.scale
    mix = (x - np.floor(x) < 0.5) * np.float32(0.5) + (y - np.floor(y) < 0.5) * np.float32(0.5)
    return _fade(mix, area.detail(area.scale * np.float32(0.5)), 0.5)


def _spines(area: Area) -> Floats:
    place = area.u / area.scale + area.phase * 64
    book = place.astype(np.int32)
    rgb = np.stack([cell_value(book), cell_value(book, book), cell_value(book + 77)])
    common = cell_value(book + 511)
    mix = rgb * np.float32(0.4) + common * np.float32(0.6)
    inside = place - np.floor(place)
    title = (np.abs(area.v / area.height - np.float32(0.3) - common * np.float32(0.4)) < 0.07) & (common > 0.4)
    dark = (inside < 0.14) * area.detail(area.scale)
    mix = np.where(title, 1 - mix, mix)
    shaded: Floats = np.clip(mix + dark * np.float32(0.6), 0, np.float32(1.3))
    return shaded


def _art(area: Area) -> Floats:
    x, y = area.u / area.width, area.v / area.height
    salt = (area.phase * 1000).astype(np.int32)
    across, up = cell_value(salt), cell_value(salt + 5)
    broad = smooth_noise(x * 40 + across * 256, y * 40 + up * 256)
    horizon = (y < cell_value(salt + 1)).astype(np.float32)
    dx, dy = x - cell_value(salt + 2), y - cell_value(salt + 3)
    blob = (dx * dx + dy * dy < 0.05).astype(np.float32)
    bands = _wave(x * area.scale + up)
    shapes = broad * np.float32(0.8) + horizon * np.float32(0.4) + blob * np.float32(0.5) - bands * np.float32(0.3)
    tints = [smooth_noise(x * 30 + across * shift, y * 30 + shift) for shift in (40, 90, 170)]
    return np.stack([np.clip(shapes + (tint - np.float32(0.5)) * np.float32(0.5), 0, 1) for tint in tints])


def _screen(area: Area) -> Floats:
    x, y = area.u / area.width, area.v / area.height
    return np.clip((x + y + area.phase - 1) * np.float32(0.8), 0, 1)


def _outdoors(area: Area) -> Floats:
    y = area.v / area.height
    ridge = smooth_noise(area.u * 40 + area.phase * 256, area.phase * 256) * np.float32(0.5) + area.phase * np.float32(
        0.3
    )
    haze = smooth_noise(area.u * 60, area.v * 60 + area.phase * 256) * np.float32(0.3)
    return np.where(y < ridge, np.float32(0.7) + haze, haze * np.float32(0.5) * (1 - y))


def _blinds(area: Area) -> Floats:
    y = area.v / area.scale
    return _fade(((y - np.floor(y)) < 0.35).astype(np.float32), area.detail(area.scale), 0.35)


def _front(area: Area) -> tuple[Floats, Floats, Floats, Floats]:
    columns, rows = np.floor(area.scale / 16), area.scale % 16
    x, y = area.u / area.width * columns, area.v / area.height * rows
    cell_wide, cell_high = area.width / columns, area.height / rows
    return x - np.floor(x), y - np.floor(y), cell_wide, cell_high


def _drawers(area: Area) -> Floats:
    x, y, wide, high = _front(area)
    half = np.float32(0.5)
    from_side = (half - np.abs(x - half)) * wide
    from_edge = (half - np.abs(y - half)) * high
    seam = np.minimum(from_side, from_edge) < np.maximum(np.float32(0.008), area.pixel * half)
    low = high < wide * np.float32(1.5)
    handle_x = np.where(low, np.abs(x - half) * wide < 0.06, np.abs(x - np.float32(0.86)) * wide < 0.018)
    handle_y = np.where(low, np.abs(y - np.float32(0.7)) * high < 0.018, np.abs(y - half) * high < 0.09)
    return np.where(seam, np.float32(0.75), np.where(handle_x & handle_y, np.float32(1), np.float32(0.0)))


def _panels(area: Area) -> Floats:
    x, y, wide, high = _front(area)
    half = np.float32(0.5)
    from_side = (half - np.abs(x - half)) * wide
    from_edge = (half - np.abs(y - half)) * high
    inset = np.minimum(from_side, from_edge) - np.float32(0.09)
    line = np.abs(inset) < np.maximum(np.float32(0.012), area.pixel * half)
    seam = np.minimum(from_side, from_edge) < np.float32(0.006)
    return np.where(line, np.float32(0.5), np.where(seam, np.float32(0.8), (inset > 0) * np.float32(0.12)))


def _folds(area: Area) -> Floats:
    return _wave(area.u / area.scale + smooth_noise(area.u * 30, area.v * 6) * np.float32(0.6) + area.phase)


def _leaves(area: Area) -> Floats:
    return smooth_noise(area.u * 90 + area.phase * 256, area.v * 90)


_PATTERNS: dict[Texture, Callable[[Area], Floats]] = {
    Texture.PLAIN: _plain,
    Texture.WOOD: _wood,
    Texture.PLANKS: _planks,
    Texture.TILES: _tiles,
    Texture.CARPET: _carpet,
    Texture.STRIPES: _stripes,
    Texture.DIAMONDS: _diamonds,
    Texture.WEAVE: _weave,
    Texture.CHECKS: _checks,
    Texture.SPINES: _spines,
    Texture.ART: _art,
    Texture.SCREEN: _screen,
    Texture.OUTDOORS: _outdoors,
    Texture.BLINDS: _blinds,
    Texture.DRAWERS: _drawers,
    Texture.PANELS: _panels,
    Texture.BRICKS: _bricks,
    Texture.FOLDS: _folds,
    Texture.LEAVES: _leaves,
}
