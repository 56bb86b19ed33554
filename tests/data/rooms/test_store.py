from pathlib import Path

import numpy as np
import pytest

from niwaki.atomic import cache_folder
from niwaki.data.rooms.render import render_room
from niwaki.data.rooms.store import pack, store_file, stored, unpack
from niwaki.errors import DataError

SIZE = (24, 32)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIWAKI_CACHE", str(tmp_path / "cache"))


def test_bytes_hold_a_room_to_their_precision() -> None:
    room = render_room(0, 5, SIZE)
    image, label, depth, normals = unpack(pack(room))
    assert (np.rint(image * 255) == room.image).all()
    assert (label == room.segmentation).all()
    assert np.abs(depth - room.depth).max() <= 0.5 / 4096 + 1e-6
    assert np.abs((normals.astype(np.float64) ** 2).sum(0) - 1).max() < 1e-5
    assert np.degrees(np.arccos(np.clip((normals * room.normals).sum(0), -1, 1))).max() < 0.5


def test_a_file_is_written_once_and_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    path = store_file(0, SIZE, 10, 3)
    assert stored(path, 0, SIZE, range(10, 13), told.append) == path
    assert told == [1, 2, 3]
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert (np.load(path)[2] == pack(render_room(0, 12, SIZE))).all()
    monkeypatch.setattr("niwaki.data.rooms.store.render_room", None)
    assert stored(path, 0, SIZE, range(10, 13)) == path


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY nonsense", None])
def test_a_damaged_file_is_drawn_anew(damage: bytes | None) -> None:
    path = stored(store_file(0, SIZE, 0, 2), 0, SIZE, range(2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if damage is None else damage)
    stored(path, 0, SIZE, range(2))
    assert path.read_bytes() == whole


def test_a_break_leaves_no_half_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    path = store_file(0, SIZE, 0, 3)
    with pytest.raises(KeyboardInterrupt):
        stored(path, 0, SIZE, range(3), stop)
    assert list(path.parent.iterdir()) == []


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NIWAKI_CACHE", str(tmp_path / "file"))
    path = store_file(0, SIZE, 0, 1)
    with pytest.raises(DataError, match=r"cache of rooms can't be written.*NIWAKI_CACHE.*cache=False"):
        stored(path, 0, SIZE, range(1))


def test_the_file_depends_on_everything_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {store_file(0, SIZE, 0, 2), store_file(1, SIZE, 0, 2), store_file(0, (32, 24), 0, 2)}
    names |= {store_file(0, SIZE, 2, 2), store_file(0, SIZE, 0, 3)}
    monkeypatch.setattr("niwaki.data.rooms.store.RENDERER_VERSION", -1)
    names.add(store_file(0, SIZE, 0, 2))
    assert len(names) == 6


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIWAKI_CACHE")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/niwaki")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "niwaki"
    monkeypatch.setenv("NIWAKI_CACHE", "/own")
    assert cache_folder() == Path("/own")
