"""Headers and pixels of files: the header must promise what the pixels are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from niwaki.data.frames import Array, unit_normals
from niwaki.data.frames.files import UNREADABLE, header, load
from niwaki.data.frames.normal import normal_fault

MODES: dict[str, Array] = {
    "L": np.zeros((3, 5), np.uint8),
    "RGB": np.zeros((3, 5, 3), np.uint8),
    "RGBA": np.zeros((3, 5, 4), np.uint8),
    "I;16": np.zeros((3, 5), np.uint16),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_pictures_header_tells_its_array(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(MODES[mode]).save(path)
    shape, dtype = header(path)
    array = load(path)
    assert (shape, dtype) == (array.shape, array.dtype)
    assert array.shape == MODES[mode].shape


@pytest.mark.parametrize("mode", ["P", "F", "I"])
def test_other_kinds_of_pictures_too(mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.png" if mode == "P" else "a.tiff")
    Image.new(mode, (5, 3)).save(path)
    assert header(path)[1] == load(path).dtype
    assert header(path)[0] == load(path).shape


def test_arrays_are_read_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.int16))
    assert header(tmp_path / "a.npy") == ((2, 3), np.dtype(np.int16))
    assert (load(tmp_path / "a.npy") == 1).all()


def test_an_unknown_kind_of_picture_is_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (5, 3)).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="a picture of mode CMYK, not one of L, P, RGB"):
        header(tmp_path / "a.jpg")


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    for read in (header, load):
        with pytest.raises(UNREADABLE, match="(?i)object"):
            read(tmp_path / "a.npy")


def test_normals_in_wide_codes_are_refused() -> None:
    fault = normal_fault(np.zeros((2, 2, 3), np.uint16))
    assert fault == ("dtype uint16", "uint8, or floating unit vectors")
    assert normal_fault(np.zeros((2, 2, 3), np.uint8)) is None


def test_bytes_decode_to_unit_vectors() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(50, 40, 3))
    true /= np.linalg.norm(true, axis=-1, keepdims=True)
    found = unit_normals(np.rint((true + 1) * 127.5).astype(np.uint8))
    assert np.abs(np.linalg.norm(found, axis=-1) - 1).max() < 1e-6
    assert np.abs(found - true).max() < 0.01
