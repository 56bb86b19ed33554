import subprocess
import sys
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from niwaki.data.rooms.parts import CLASSES
from niwaki.data.rooms.render import RoomSample, render_room

# Changes with RENDERER_VERSION, and with nothing else: not with the platform, nor with NumPy's version.
GOLDEN = "8871ed0b17ee9601c74246445663f90aba822a4a3be1f4aa8efeafa7381aeb30"


def digest(sample: RoomSample) -> str:
    parts = (sample.image, sample.segmentation, sample.depth.astype("<f4"), sample.normals.astype("<f4"))
    return sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def test_rooms_are_the_same_on_every_machine() -> None:
    assert sha256("".join(digest(render_room(0, i)) for i in range(6)).encode()).hexdigest() == GOLDEN


def test_rooms_are_the_same_in_another_process() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from niwaki.data.rooms.render import render_room\n"
        "s = render_room(3, 14, (40, 56))\n"
        "print(hashlib.sha256(b''.join(np.ascontiguousarray(p).tobytes() for p in"
        " (s.image, s.segmentation, s.depth, s.normals))).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    render_room(3, 13, (40, 56))
    assert done.stdout.strip() == digest(render_room(3, 14, (40, 56)))


@given(
    seed=st.integers(0, 2**32),
    index=st.integers(0, 2**42),
    size=st.tuples(st.integers(8, 60), st.integers(8, 80)),
)
def test_any_room_at_any_size_is_whole(seed: int, index: int, size: tuple[int, int]) -> None:
    room = render_room(seed, index, size)
    assert room.image.shape == room.normals.shape == (3, *size)
    assert room.image.dtype == room.segmentation.dtype == np.uint8
    assert room.depth.dtype == room.normals.dtype == np.float32
    assert room.segmentation.max() < len(CLASSES)
    assert room.depth.min() > 0.1
    assert room.depth.max() < 10
    assert np.isfinite(room.normals).all()


@pytest.mark.parametrize("other", [(0, 1), (1, 0)])
def test_another_seed_or_index_is_another_room(other: tuple[int, int]) -> None:
    assert (render_room(0, 0).image != render_room(*other).image).mean() > 0.5


def test_a_larger_picture_shows_the_same_room() -> None:
    small, large = render_room(2, 7, (48, 64)), render_room(2, 7, (144, 192))
    same = large.segmentation[1::3, 1::3] == small.segmentation
    assert same.mean() == 1.0
    assert large.depth[1::3, 1::3] == pytest.approx(small.depth, rel=1e-5)


def test_every_class_is_seen_and_none_is_nearly_all() -> None:
    counts = sum(np.bincount(render_room(1, i, (48, 64)).segmentation.ravel(), minlength=13) for i in range(150))
    shares = counts / np.sum(counts)
    assert shares.min() > 0.008
    assert shares.max() < 0.4


def test_pictures_are_exposed() -> None:
    means = [float(render_room(1, i, (48, 64)).image.mean()) for i in range(40)]
    assert min(means) > 60
    assert max(means) < 200


def test_colour_alone_does_not_tell_the_class() -> None:
    def cells(room: RoomSample) -> npt.NDArray[np.int64]:
        r, g, b = (room.image >> 4).astype(np.int64)
        return np.asarray(((r * 16 + g) * 16 + b).ravel())

    counts = np.zeros((4096, 13))
    for index in range(120):
        room = render_room(8, index, (48, 64))
        np.add.at(counts, (cells(room), room.segmentation.ravel()), 1)
    guess = counts.argmax(1)
    hits, either = np.zeros(13), np.zeros(13)
    for index in range(120, 160):
        room = render_room(8, index, (48, 64))
        said, true = guess[cells(room)], room.segmentation.ravel()
        for label in range(13):
            hits[label] += ((said == label) & (true == label)).sum()
            either[label] += ((said == label) | (true == label)).sum()
    assert (hits / either).mean() < 0.15
