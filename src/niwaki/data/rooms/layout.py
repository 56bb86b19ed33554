"""Where pieces stand: against walls, in the middle, or beside one another, without running into each other."""

from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.parts import Piece
from niwaki.data.rooms.scene import Placed, Scene

__all__ = ["Floorplan"]

_TRIES = 10
_NORTH, _EAST, _WEST = 0, 1, 2
# Inward normal of each wall that is seen; the camera's back is to the fourth.
_NORMALS = ((0.0, -1.0), (-1.0, 0.0), (1.0, 0.0))


class Floorplan:
    """Places pieces in a scene and remembers what is taken.

    Args:
        scene: The room to furnish.
        draws: Where random numbers come from.
    """

    def __init__(self, scene: Scene, draws: Draws) -> None:
        self.scene = scene
        self._draws = draws
        self._taken: list[tuple[float, float, float, float]] = []
        self._hung: list[tuple[int, float, float, float, float]] = []

    def at_wall(self, piece: Piece) -> Placed | None:
        """Stand a piece with its back to a wall.

        Args:
            piece: The piece.

        Returns:
            Where it stands, or None where no free place was found.
        """
        for _ in range(_TRIES):
            wall = self._draws.pick((_NORTH, _NORTH, _EAST, _WEST))
            spot = self._spot(piece, wall, gap=self._draws.uniform(0.02, 0.05))
            if spot and self._free(spot):
                low, high = _span(spot)
                middle = (low + high) / 2 if wall == _NORTH else spot.y
                self._hung.append((wall, middle - piece.width / 2, middle + piece.width / 2, 0.0, piece.height))
                return self._keep(spot)
        return None

    def on_wall(self, piece: Piece) -> Placed | None:
        """Hang a piece on a wall where nothing hangs or stands.

        Args:
            piece: The piece.

        Returns:
            Where it hangs, or None where no free place was found.
        """
        for _ in range(_TRIES):
            wall = self._draws.pick((_NORTH, _NORTH, _EAST, _WEST))
            spot = self._spot(piece, wall, gap=0.0)
            if spot is None or piece.height > self.scene.shell.height - 0.05:
                continue
            middle = spot.x if wall == _NORTH else spot.y
            area = (wall, middle - piece.width / 2, middle + piece.width / 2, piece.bottom, piece.height)
            if not any(_overlap(area, other) for other in self._hung):
                self._hung.append(area)
                self.scene.placed.append(spot)
                return spot
        return None

    def in_middle(self, piece: Piece, *, turn: tuple[float, float] = (1.0, 0.0)) -> Placed | None:
        """Stand a piece away from the walls.

        Args:
            piece: The piece.
            turn: Cosine and sine of its turn.

        Returns:
            Where it stands, or None where no free place was found.
        """
        shell, draws = self.scene.shell, self._draws
        reach = piece.width / 2 + 0.1
        for _ in range(_TRIES):
            x = draws.uniform(reach, shell.width - reach)
            y = draws.uniform(shell.length * 0.3, shell.length - 0.3 - piece.depth)
            spot = Placed(piece, x, y, turn)
            if self._inside(spot) and self._free(spot):
                return self._keep(spot)
        return None

    def beside(
        self, host: Placed, piece: Piece, offset: tuple[float, float], turn: tuple[float, float] = (1.0, 0.0)
    ) -> Placed | None:
        """Stand a piece near another.

        Args:
            host: The piece that stands.
            piece: The piece to add.
            offset: Its origin in the host's frame, metres.
            turn: Cosine and sine of its turn in the host's frame.

        Returns:
            Where it stands, or None where that place is taken or outside.
        """
        c, s = host.turn
        x, y = host.x + c * offset[0] - s * offset[1], host.y + s * offset[0] + c * offset[1]
        spot = Placed(piece, x, y, (c * turn[0] - s * turn[1], s * turn[0] + c * turn[1]))
        if self._inside(spot) and self._free(spot):
            return self._keep(spot)
        return None

    def lay(self, piece: Piece) -> None:
        """Lay something flat in the middle of the floor, under everything."""
        shell, draws = self.scene.shell, self._draws
        spot = Placed(
            piece, shell.width * draws.uniform(0.35, 0.65), shell.length * draws.uniform(0.3, 0.45), draws.turn(0.08)
        )
        if self._inside(spot):
            self.scene.placed.append(spot)

    def _spot(self, piece: Piece, wall: int, gap: float) -> Placed | None:
        shell, draws = self.scene.shell, self._draws
        nx, ny = _NORMALS[wall]
        side = shell.width if wall == _NORTH else shell.length
        low = piece.width / 2 + 0.04
        if low > side - low:
            return None
        start = low if wall == _NORTH else max(low, side * 0.3)
        along = draws.uniform(min(start, side - low), side - low)
        x, y = ((along, shell.length - gap), (shell.width - gap, along), (gap, along))[wall]
        return Placed(piece, x, y, (ny, -nx))

    def _keep(self, spot: Placed) -> Placed:
        self._taken.append(_footprint(spot))
        self.scene.placed.append(spot)
        return spot

    def _inside(self, spot: Placed) -> bool:
        x0, x1, y0, y1 = _footprint(spot)
        shell = self.scene.shell
        return x0 >= 0 and y0 >= 0 and x1 <= shell.width and y1 <= shell.length

    def _free(self, spot: Placed) -> bool:
        x0, x1, y0, y1 = _footprint(spot)
        cx, cy, _ = self.scene.camera.position
        dx, dy = max(x0 - cx, cx - x1, 0.0), max(y0 - cy, cy - y1, 0.0)
        room = 0.55 + 0.35 * spot.piece.height
        if dx * dx + dy * dy < room * room:
            return False
        return not any(x0 < b1 and b0 < x1 and y0 < b3 and b2 < y1 for b0, b1, b2, b3 in self._taken)


def _span(spot: Placed) -> tuple[float, float]:
    x0, x1, _, _ = _footprint(spot)
    return x0, x1


def _footprint(spot: Placed) -> tuple[float, float, float, float]:
    c, s = spot.turn
    half, depth = spot.piece.width / 2, spot.piece.depth
    xs = [spot.x + c * u - s * v for u in (-half, half) for v in (0.0, depth)]
    ys = [spot.y + s * u + c * v for u in (-half, half) for v in (0.0, depth)]
    return min(xs), max(xs), min(ys), max(ys)


def _overlap(a: tuple[int, float, float, float, float], b: tuple[int, float, float, float, float]) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2] and a[3] < b[4] and b[3] < a[4]
