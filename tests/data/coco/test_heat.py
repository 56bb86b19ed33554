"""Heat against a loop over cells, and against COCO's own keypoint similarity."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.data.augment import mirror, zoom
from niwaki.data.coco.heat import LABELLED, heat
from niwaki.data.coco.letterbox import Letterbox
from niwaki.data.coco.masks import Polygons
from niwaki.data.coco.objects import Box, Object
from niwaki.data.coco.people import Person
from niwaki.data.coco.points import centres, keypoints

MAPS, SIZE = 3, (12, 20)


def made(seed: int, count: int = 6) -> torch.Tensor:
    draw = np.random.default_rng(seed)
    kinds = draw.integers(0, MAPS, count)
    places, spreads = draw.uniform(-0.1, 1.1, (count, 2)), draw.uniform(0.1, 3.0, count)
    return torch.tensor(np.column_stack([kinds, (kinds + 1) % MAPS, places, spreads]))


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]))
def test_heat_is_what_a_loop_over_cells_finds(seed: int, stride: int) -> None:
    points, plane = made(seed), torch.full(SIZE, LABELLED)
    plane[:4, :8], plane[8:, 12:] = 1, MAPS
    found = heat(points, plane, MAPS, stride)
    high, wide = SIZE[0] // stride, SIZE[1] // stride
    assert found.shape == (MAPS, high, wide)
    for kind, row, column in np.ndindex(MAPS, high, wide):
        expected, here = 0.0, False
        for own, _, x, y, spread in points.tolist():
            if own != kind or not (0 <= x < 1 and 0 <= y < 1):
                continue
            dy, dx = row - math.floor(y * high), column - math.floor(x * wide)
            here = here or (dy, dx) == (0, 0)
            deviation = max(spread / stride, 1 / 3)
            if max(abs(dy), abs(dx)) <= math.ceil(3 * deviation):
                expected = max(expected, math.exp(-(dy * dy + dx * dx) / (2 * deviation**2)))
        absent = int(plane[row * stride + stride // 2, column * stride + stride // 2])
        value = float(found[kind, row, column])
        if absent in (kind, MAPS) and not here:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(expected, abs=1e-6)


def test_no_points_are_no_heat() -> None:
    assert (heat(made(0, count=0), torch.full(SIZE, LABELLED), MAPS, 1) == 0).all()


def test_the_heat_of_a_keypoint_is_cocos_similarity() -> None:
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    area, kind = 900.0, 9
    places = np.full((17, 2), np.nan)
    places[kind] = (20.0, 15.0)
    body = Object(0, Box(0, 0, 30, 30), Polygons(()), crowd=False)
    points = keypoints([Person(body, places, area)], tuple(range(17))).placed(Letterbox((30, 40), (30, 40)))
    found = heat(points, torch.full((30, 40), LABELLED), 17, 1)[kind]
    truth: dict[str, Any] = {"id": 1, "bbox": [0, 0, 30, 30], "area": area, "num_keypoints": 1, "keypoints": [0] * 51}
    truth["keypoints"][3 * kind : 3 * kind + 3] = [20, 15, 2]
    judge = evaluation.COCOeval(iouType="keypoints")
    judge.params.useCats = 1
    for dx, dy in ((0, 0), (1, 0), (3, -4), (-2, 6)):
        answer: dict[str, Any] = {"id": 1, "score": 1.0, "keypoints": [0] * 51}
        answer["keypoints"][3 * kind : 3 * kind + 3] = [20 + dx, 15 + dy, 1]
        judge._gts, judge._dts = {(1, 1): [truth]}, {(1, 1): [answer]}
        assert float(found[15 + dy, 20 + dx]) == pytest.approx(float(judge.computeOks(1, 1)[0, 0]), abs=1e-5)


def test_a_box_that_is_shifted_to_where_heat_ends_overlaps_by_seven_tenths() -> None:
    box = Box(3, 2, 15, 8)
    (spread,) = centres([Object(0, box, Polygons(()), crowd=False)]).spreads
    shift = 3 * spread
    inside = (box.sides[0] - shift) * (box.sides[1] - shift)
    assert inside / (2 * box.sides[0] * box.sides[1] - inside) == pytest.approx(0.7)


@given(st.integers(0, 100))
def test_a_zoom_and_a_mirror_move_points_as_they_move_pixels(seed: int) -> None:
    """A point in the middle of a pixel that is unlike all others stays on it."""
    draw = np.random.default_rng(seed)
    row, column = int(draw.integers(40)), int(draw.integers(60))
    mark = torch.zeros(40, 60, dtype=torch.int64)
    mark[row, column] = 1
    point = torch.tensor([[0, 1, (column + 0.5) / 60, (row + 0.5) / 40, 2.0]], dtype=torch.float64)
    sample = (torch.zeros(3, 40, 60), {"mark": mark, "points": point})
    kinds = {"mark": "map", "points": "points"}
    _, turned = mirror(sample, kinds)
    assert turned["points"][0, :2].tolist() == [1, 0]
    assert turned["mark"][int(turned["points"][0, 3] * 40), int(turned["points"][0, 2] * 60)] == 1
    _, near = zoom(sample, 1.5, tuple(draw.random(2).tolist()), kinds)
    x, y = near["points"][0, 2:4].tolist()
    assert near["points"][0, 4] == 3.0
    inside = 0 <= x < 1 and 0 <= y < 1
    assert bool(near["mark"].any()) == inside
    if inside:
        rows, columns = near["mark"].nonzero().float().add(0.5).mean(0).tolist()
        assert abs(x * 60 - columns) <= 1
        assert abs(y * 40 - rows) <= 1
