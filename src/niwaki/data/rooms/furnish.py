"""Rooms of a kind: a bedroom, a living room, a study, a dining room, each with what belongs there."""

from collections.abc import Callable

from niwaki.data.rooms import chairs, clutter, mounted, soft, storage, tables
from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.layout import Floorplan
from niwaki.data.rooms.materials import any_floor, any_paint, any_solid, cloth, paint, plain
from niwaki.data.rooms.parts import Label, Piece
from niwaki.data.rooms.scene import Light, Placed, Scene, Shell, draw_camera

__all__ = ["furnish"]

_BACK = (-1.0, 0.0)


def furnish(draws: Draws) -> Scene:
    """Return a furnished, lit room with a camera in it.

    Args:
        draws: Where random numbers come from.

    Returns:
        The scene.
    """
    width, length, height = draws.uniform(2.8, 4.8), draws.uniform(3.2, 5.2), draws.uniform(2.35, 2.8)
    scene = Scene(_shell(draws, width, length, height), draw_camera(draws, width, length, height))
    plan = Floorplan(scene, draws)
    if draws.chance(0.45):
        plan.lay(_rug(draws))
    draws.pick(_ROOMS)(plan, draws)
    _extras(plan, draws)
    _skirting(scene, draws)
    _light(scene, draws)
    return scene


def _shell(draws: Draws, width: float, length: float, height: float) -> Shell:
    wall = any_paint(draws)
    other = any_paint(draws) if draws.chance(0.3) else wall
    ceiling = plain(draws, (0.93, 0.92, 0.9)) if draws.chance(0.8) else any_paint(draws)
    walls = draws.pick(((wall, wall, wall, other), (wall, other, wall, wall), (wall, wall, other, wall)))
    return Shell(width, length, height, (any_floor(draws), ceiling, *walls))


def _rug(draws: Draws) -> Piece:
    width, depth = draws.uniform(1.2, 2.4), draws.uniform(1.0, 1.8)
    piece = Piece(width, depth, 0.01)
    piece.box((-width / 2, 0.0, 0.0), (width / 2, depth, 0.012), Label.FLOOR, cloth(draws))
    return piece


def _skirting(scene: Scene, draws: Draws) -> None:
    if draws.chance(0.3):
        return
    shell, high, material = scene.shell, draws.uniform(0.06, 0.12), draws.pick((paint, any_solid))(draws)
    piece = Piece(0.0, 0.0, high)
    piece.box((0.0, shell.length - 0.012, 0.0), (shell.width, shell.length, high), Label.WALL, material)
    piece.box((0.0, 0.0, 0.0), (0.012, shell.length, high), Label.WALL, material)
    piece.box((shell.width - 0.012, 0.0, 0.0), (shell.width, shell.length, high), Label.WALL, material)
    scene.placed.append(Placed(piece, 0.0, 0.0, (1.0, 0.0)))


def _bedroom(plan: Floorplan, draws: Draws) -> None:
    bed = plan.at_wall(soft.bed(draws))
    if bed:
        for side in (-1, 1):
            if draws.chance(0.7):
                stand = storage.nightstand(draws)
                plan.beside(bed, stand, (side * (bed.piece.width / 2 + stand.width / 2 + 0.08), 0.0))
    plan.at_wall(draws.pick((storage.wardrobe, storage.chest))(draws))
    if draws.chance(0.6):
        plan.at_wall(draws.pick((storage.chest, storage.bookcase, storage.tv_stand))(draws))
    if draws.chance(0.5):
        _workplace(plan, draws)


def _living(plan: Floorplan, draws: Draws) -> None:
    sofa = (
        plan.at_wall(soft.sofa(draws)) if draws.chance(0.75) else plan.in_middle(soft.sofa(draws), turn=_any_way(draws))
    )
    if sofa and draws.chance(0.75):
        table = draws.pick((tables.coffee_table, tables.coffee_table, tables.round_table))(draws)
        plan.beside(sofa, table, (draws.uniform(-0.3, 0.3), sofa.piece.depth + draws.uniform(0.25, 0.5)))
    plan.at_wall(storage.tv_stand(draws)) if draws.chance(0.6) else plan.on_wall(mounted.wall_tv(draws))
    if draws.chance(0.7):
        plan.at_wall(storage.bookcase(draws))
    if draws.chance(0.6):
        plan.in_middle(soft.armchair(draws), turn=_any_way(draws))


def _study(plan: Floorplan, draws: Draws) -> None:
    _workplace(plan, draws)
    plan.at_wall(storage.bookcase(draws))
    if draws.chance(0.7):
        plan.at_wall(storage.bookcase(draws))
    if draws.chance(0.5):
        plan.at_wall(draws.pick((storage.chest, storage.wardrobe))(draws))
    if draws.chance(0.6):
        plan.in_middle(draws.pick((soft.armchair, chairs.chair, chairs.office_chair))(draws), turn=_any_way(draws))
    if draws.chance(0.3):
        plan.at_wall(soft.sofa(draws))


def _dining(plan: Floorplan, draws: Draws) -> None:
    table = plan.in_middle(draws.pick((tables.dining_table, tables.dining_table, tables.round_table))(draws))
    if table:
        _seats(plan, draws, table)
    plan.at_wall(draws.pick((storage.chest, storage.bookcase, storage.wardrobe))(draws))
    if draws.chance(0.5):
        plan.at_wall(storage.chest(draws))
    if draws.chance(0.35):
        plan.at_wall(soft.sofa(draws))


_ROOMS: tuple[Callable[[Floorplan, Draws], None], ...] = (_bedroom, _living, _study, _dining, _bedroom, _living)


def _workplace(plan: Floorplan, draws: Draws) -> None:
    desk = plan.at_wall(tables.desk(draws))
    if desk:
        seat = draws.pick((chairs.office_chair, chairs.chair))(draws)
        c, s = draws.turn(0.25)
        plan.beside(desk, seat, (draws.uniform(-0.2, 0.2), desk.piece.depth + seat.depth + 0.12), (-c, -s))


def _seats(plan: Floorplan, draws: Draws, table: Placed) -> None:
    piece = table.piece
    kind = draws.pick((chairs.chair, chairs.chair, chairs.chair, chairs.stool))
    near, far = -0.52 - draws.uniform(0.0, 0.25), piece.depth + 0.52 + draws.uniform(0.0, 0.25)
    count = 2 if piece.width > 1.3 else 1
    for index in range(count):
        x = piece.width * ((index + 0.5) / count - 0.5)
        for y, facing in ((near, 1.0), (far, -1.0)):
            c, s = draws.turn(0.12)
            if draws.chance(0.85):
                plan.beside(table, kind(draws), (x, y), (facing * c, facing * s))
    for side in (-1.0, 1.0):
        if draws.chance(0.5):
            x = side * (piece.width / 2 + 0.4)
            plan.beside(table, kind(draws), (x, piece.depth / 2), (0.0, side))


def _any_way(draws: Draws) -> tuple[float, float]:
    c, s = draws.turn(0.3)
    return draws.pick(((c, s), (-c, -s), (s, -c), (-s, c)))


_LOOSE = (clutter.floor_lamp, clutter.plant, clutter.bin_, clutter.carton, clutter.basket)


def _extras(plan: Floorplan, draws: Draws) -> None:
    if draws.chance(0.55):
        plan.on_wall(storage.door(draws))
    if draws.chance(0.85):
        plan.on_wall(mounted.window(draws))
    if draws.chance(0.4):
        plan.on_wall(mounted.window(draws))
    for _ in range(draws.whole(2, 6)):
        plan.on_wall(draws.pick((mounted.picture, mounted.picture, mounted.picture, mounted.shelf))(draws))
    if draws.chance(0.25):
        plan.on_wall(mounted.wall_tv(draws))
    if draws.chance(0.5):
        plan.at_wall(draws.pick((storage.bookcase, storage.chest, tables.desk, chairs.chair))(draws))
    if draws.chance(0.5):
        plan.in_middle(draws.pick((chairs.chair, chairs.office_chair, chairs.stool))(draws), turn=_any_way(draws))
    for _ in range(draws.whole(2, 4)):
        thing = draws.pick(_LOOSE)(draws)
        plan.at_wall(thing) if draws.chance(0.6) else plan.in_middle(thing, turn=draws.turn(1.0))


def _light(scene: Scene, draws: Draws) -> None:
    shell = scene.shell
    warm = draws.uniform(0.7, 1.0)
    lamp = (1.0, 0.5 + 0.5 * warm, warm)
    x, y = shell.width * draws.uniform(0.3, 0.7), shell.length * draws.uniform(0.3, 0.7)
    day = draws.uniform(0.0, 1.0)
    scene.lights.append(Light(x, y, shell.height - 0.15, draws.uniform(0.7, 1.5), lamp))
    for placed in scene.placed:
        if any(part.label is Label.WINDOW and part.material.glow > 0.9 for part in placed.piece.parts):
            nx, ny = -placed.turn[1], placed.turn[0]
            scene.lights.append(Light(placed.x + 0.3 * nx, placed.y + 0.3 * ny, 1.6, 0.4 + day, (0.9, 0.97, 1.0)))
    base = draws.uniform(0.14, 0.32)
    scene.ambient = (base, base * (0.95 + 0.05 * warm), base * (0.9 + 0.1 * warm))
