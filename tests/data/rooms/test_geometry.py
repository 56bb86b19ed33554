"""Depth, normals and classes against a room solved by hand, a ray marcher, and each other."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.data.rooms.marching import march, ray_through, shell_hit
from tests.data.rooms.slopes import points, slopes

from niwaki.data.rooms.draws import Draws
from niwaki.data.rooms.furnish import furnish
from niwaki.data.rooms.materials import Material, Texture
from niwaki.data.rooms.parts import Label, Piece
from niwaki.data.rooms.render import render_room, render_scene
from niwaki.data.rooms.scene import Camera, Light, Placed, Scene, Shell, aim

Array = npt.NDArray[Any]

GREY = Material(Texture.PLAIN, (0.5, 0.5, 0.5), (0.4, 0.4, 0.4))
SIZE = (36, 48)


def in_camera(camera: Camera, vector: Array) -> Array:
    return np.array([camera.right, camera.down, camera.forward]) @ vector


def scene_of(*placed: Placed) -> Scene:
    camera = aim((2.1, 0.7, 1.5), (1.4, 4.0, 0.6), 0.75, (0.995037190209989, 0.09950371902099892))
    lamp = Light(2.0, 2.0, 2.3, 1.0, (1.0, 1.0, 1.0))
    return Scene(Shell(3.8, 4.6, 2.5, (GREY,) * 6), camera, list(placed), [lamp])


def test_an_empty_room_is_its_closed_form() -> None:
    scene = scene_of()
    sample = render_scene(scene, SIZE, Draws(0))
    for row in range(0, SIZE[0], 2):
        for column in range(0, SIZE[1], 3):
            way = ray_through(scene, sample.focal, SIZE, row, column)
            depth, label, normal = shell_hit(scene, way)
            assert sample.depth[row, column] == pytest.approx(depth, rel=1e-5)
            assert sample.segmentation[row, column] == label
            assert sample.normals[:, row, column] == pytest.approx(in_camera(scene.camera, normal), abs=1e-5)


def test_points_of_an_empty_room_lie_on_its_walls() -> None:
    scene = scene_of()
    sample = render_scene(scene, SIZE, Draws(0))
    camera = scene.camera
    basis = np.array([camera.right, camera.down, camera.forward])
    room = (
        np.einsum("kc,khw->chw", basis, points(sample.depth, sample.focal)) + np.array(camera.position)[:, None, None]
    )
    ends = np.array([scene.shell.width, scene.shell.length, scene.shell.height])[:, None, None]
    gap = np.minimum(np.abs(room), np.abs(room - ends))
    assert np.min(gap, axis=0).max() < 1e-5


@pytest.mark.parametrize("index", range(5))
def test_furnished_rooms_agree_with_a_ray_marcher(index: int) -> None:
    scene = furnish(Draws(11, index))
    sample = render_scene(scene, SIZE, Draws(0))
    rng = np.random.default_rng(index)
    agreed = []
    for row, column in zip(rng.integers(0, SIZE[0], 50), rng.integers(0, SIZE[1], 50), strict=True):
        way = ray_through(scene, sample.focal, SIZE, int(row), int(column))
        depth, label, normal = march(scene, way)
        agreed.append(
            abs(sample.depth[row, column] - depth) < 1e-4 * depth
            and sample.segmentation[row, column] == label
            and np.abs(sample.normals[:, row, column] - in_camera(scene.camera, normal)).max() < 1e-3
        )
    # The marcher may step over a corner that is thinner than its step, and an edge has no gradient.
    assert np.mean(agreed) >= 0.96


def solids() -> Piece:
    piece = Piece(1.0, 1.0, 1.0)
    piece.box((-1.2, 0.0, 0.0), (-0.5, 0.6, 0.9), Label.TABLE, GREY, (0.8, 0.6))
    piece.ellipsoid((-0.4, 0.1, 0.2), (0.3, 0.6, 1.1), Label.OBJECTS, GREY)
    piece.frustum((0.75, 0.3, 0.1), 0.3, 0.8, Label.CHAIR, GREY, -0.5)
    piece.frustum((0.2, -0.6, 0.0), 0.2, 0.5, Label.SOFA, GREY, 0.4)
    return piece


def test_every_solid_agrees_with_a_ray_marcher() -> None:
    scene = scene_of(Placed(solids(), 1.6, 2.3, (0.96, 0.28)))
    sample = render_scene(scene, SIZE, Draws(0))
    assert {Label.TABLE, Label.OBJECTS, Label.CHAIR, Label.SOFA} <= set(sample.segmentation.ravel().tolist())
    wrong = []
    for row in range(0, SIZE[0], 2):
        for column in range(0, SIZE[1], 2):
            way = ray_through(scene, sample.focal, SIZE, row, column)
            depth, label, normal = march(scene, way)
            fits = abs(sample.depth[row, column] - depth) < 1e-5 * depth and sample.segmentation[row, column] == label
            off = np.abs(sample.normals[:, row, column] - in_camera(scene.camera, normal)).max()
            wrong.append(not fits or off > 1e-3)
    assert np.mean(wrong) <= 0.01


@pytest.mark.parametrize("index", range(4))
def test_normals_agree_with_the_slope_of_depth(index: int) -> None:
    sample = render_room(5, index, (96, 128))
    share, cosine = slopes(sample.depth, sample.normals, sample.focal)
    assert share > 0.5
    assert np.abs(cosine).min() > 1 - 1e-4


@pytest.mark.parametrize("index", range(4))
def test_normals_are_unit_vectors_that_face_the_camera(index: int) -> None:
    sample = render_room(6, index, (48, 64))
    normals, place = sample.normals.astype(np.float64), points(sample.depth, sample.focal)
    assert np.abs((normals**2).sum(0) - 1).max() < 1e-5
    assert ((normals * place).sum(0) < 1e-6).all()
    assert (normals[2] < 0).mean() > 0.8


def test_a_mirrored_room_is_the_mirror_image() -> None:
    piece = solids()
    flipped = Piece(1.0, 1.0, 1.0)
    flipped.parts = [
        part._replace(centre=(-part.centre[0], *part.centre[1:]), turn=(part.turn[0], -part.turn[1]))
        for part in piece.parts
    ]
    straight = aim((1.9, 0.6, 1.5), (1.9, 4.0, 0.6), 0.75)
    shell = Shell(3.8, 4.6, 2.5, (GREY,) * 6)
    one, other = (
        render_scene(Scene(shell, straight, [Placed(each, 1.9, 2.3, (1.0, 0.0))]), SIZE, Draws(0))
        for each in (piece, flipped)
    )
    same = one.segmentation == other.segmentation[:, ::-1]
    assert same.mean() > 0.995
    assert one.depth[same] == pytest.approx(other.depth[:, ::-1][same], rel=1e-5)
    mirrored = other.normals[:, :, ::-1] * np.array([-1, 1, 1])[:, None, None]
    assert np.abs(one.normals - mirrored)[:, same].max() < 1e-5
