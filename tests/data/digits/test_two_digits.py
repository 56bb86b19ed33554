"""The two-digit tasks: pictures come through as written in all three formats, pairs are the same everywhere."""

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from niwaki.data import TwoDigitsData, check_data, datasets
from niwaki.data.digits.compose import CANVAS, MOST_SHIFT, Draw, draw, overlap
from niwaki.errors import DataError, SettingError

COUNTS = {"train": 60, "test": 20}
STEMS = {"train": "train", "test": "t10k"}
Array = npt.NDArray[Any]


def pictures(split: str, salt: int) -> tuple[Array, Array]:
    """Return pictures that carry their own number in two corners, where nothing lies over them."""
    count = COUNTS[split]
    rng = np.random.default_rng([salt, count])
    images = rng.integers(0, 200, (count, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = images[:, 27, 27] = np.arange(count)
    images[:, 0, 1] = images[:, 27, 26] = 201 + salt
    return images, (np.arange(count) % 10).astype(np.uint8)


def write_idx(path: Path, array: Array) -> None:
    raw = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_folder(folder: Path, form: str, salt: int) -> None:
    folder.mkdir(parents=True)
    arrays: dict[str, Array] = {}
    for split, stem in STEMS.items():
        images, labels = pictures(split, salt)
        arrays |= {f"x_{split}": images, f"y_{split}": labels}
        if form != "npz":
            sep, end = (".", "") if form == "dotted" else ("-", ".gz" if form == "gz" else "")
            write_idx(folder / f"{stem}-images{sep}idx3-ubyte{end}", images)
            write_idx(folder / f"{stem}-labels{sep}idx1-ubyte{end}", labels)
    if form == "npz":
        np.savez(folder / "digits.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub wants allow_pickle named


def write_root(root: Path, form: str) -> Path:
    write_folder(root / "mnist", form, 0)
    write_folder(root / "clothes", form, 1)
    return root


GOLDEN = [
    Draw(751, 1341, (1, 2), (2, 2)),
    Draw(407, 1238, (1, 1), (2, 1)),
    Draw(429, 884, (1, 0), (1, 1)),
]

SMALL: dict[str, Any] = {"right": "clothes", "train": 300, "val": 100, "test": 50}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_root(tmp_path_factory.mktemp("digits"), "idx")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "digits"))


@pytest.mark.parametrize("form", ["gz", "npz", "dotted"])
def test_every_format_gives_the_same_samples(good: Path, tmp_path: Path, form: str) -> None:
    one, other = (TwoDigitsData(root=root, **SMALL).open() for root in (good, write_root(tmp_path / form, form)))
    for split in ("train", "val", "test"):
        for index in range(0, 50, 7):
            (x, y), (same, labels) = getattr(one, split)[index], getattr(other, split)[index]
            assert torch.equal(x, same)
            assert y == labels


def as_bytes(image: torch.Tensor) -> Array:
    return (image[0] * 255).round().to(torch.uint8).numpy()


def sources(split: Any) -> list[tuple[int, int]]:
    """Read off each sample which two pictures it is made of."""
    found = []
    for index in range(len(split)):
        canvas = as_bytes(split[index][0])
        assert (canvas[0, 1], canvas[35, 34]) == (201, 202)
        found.append((int(canvas[0, 0]), int(canvas[35, 35])))
    return found


def test_left_is_left_and_labels_are_the_pictures_own(good: Path) -> None:
    splits = TwoDigitsData(root=good, shift=0, **SMALL).open()
    assert splits.test is not None
    for (left, right), index in zip(sources(splits.test), range(50), strict=True):
        image, targets = splits.test[index]
        assert image.shape == (1, 36, 36)
        assert image.dtype == torch.float32
        assert targets == {"left": left % 10, "right": right % 10}
        canvas = as_bytes(image)
        assert (canvas[:8, :28] == pictures("test", 0)[0][left][:8]).all()
        assert (canvas[28:, 8:] == pictures("test", 1)[0][right][20:]).all()
        assert (canvas[:8, 28:] == 0).all()


def test_no_picture_serves_two_splits(good: Path) -> None:
    splits = TwoDigitsData(root=good, shift=0, **SMALL).open()
    train, val = sources(splits.train), sources(splits.val)
    for side in (0, 1):
        learned, picked = {pair[side] for pair in train}, {pair[side] for pair in val}
        assert learned.isdisjoint(picked)
        assert len(learned | picked) == 60  # 300 and 100 draws leave out none of 45 and 15
        assert len(picked) == 15


def test_one_folder_serves_both_sides(good: Path) -> None:
    splits = TwoDigitsData(root=good, left="clothes", right="clothes", train=30, val=10, test=10, shift=0).open()
    assert splits.test is not None
    canvas = as_bytes(splits.test[4][0])
    assert (canvas[0, 1], canvas[35, 34]) == (202, 202)


def test_pairs_depend_on_the_seed_and_the_index_alone(good: Path) -> None:
    few, many = (TwoDigitsData(root=good, **(SMALL | {"test": count})).open().test for count in (10, 40))
    other = TwoDigitsData(root=good, seed=1, **SMALL).open().test
    assert few is not None
    assert many is not None
    assert other is not None
    assert all(torch.equal(few[i][0], many[i][0]) for i in range(10))
    assert not any(torch.equal(few[i][0], other[i][0]) for i in range(10))


def test_the_draws_are_the_same_on_every_machine() -> None:
    assert [draw(3, index, (1000, 2000), 2) for index in (0, 1, 10**12)] == GOLDEN


def test_pictures_are_drawn_evenly() -> None:
    draws = [draw(0, index, (10, 10), 3) for index in range(4000)]
    assert np.bincount([each.left for each in draws]).min() > 330  # 400 are expected of each
    pairs = np.zeros((10, 10), int)
    for each in draws:
        pairs[each.left, each.right] += 1
    assert 15 < pairs.min() < pairs.max() < 75  # 40 of each
    shifts = np.array([(*each.left_shift, *each.right_shift) for each in draws])
    assert all(np.bincount(shifts[:, axis]).min() > 900 for axis in range(4))


@given(st.integers(0, 2**40), st.integers(0, 2**45), st.integers(1, 70_000), st.integers(0, MOST_SHIFT))
def test_left_stays_left_of_right(seed: int, index: int, count: int, shift: int) -> None:
    chosen = draw(seed, index, (count, 1), shift)
    assert 0 <= chosen.left < count
    assert chosen.right == 0
    assert max(*chosen.left_shift, *chosen.right_shift) <= shift
    assert chosen.left_shift[1] < CANVAS - 28 - chosen.right_shift[1]


def test_pictures_are_overlapped_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 256, (2, 28, 28), dtype=np.uint8)
    merged = overlap(left, right, Draw(0, 0, (1, 3), (2, 0)))
    for row in range(36):
        for column in range(36):
            seen = [0]
            if 0 <= row - 1 < 28 and 0 <= column - 3 < 28:
                seen.append(int(left[row - 1, column - 3]))
            if 0 <= row - 6 < 28 and 0 <= column - 8 < 28:
                seen.append(int(right[row - 6, column - 8]))
            assert merged[row, column] == max(seen)


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def change_labels(root: Path, how: Callable[[Array], Array]) -> None:
    write_idx(root / "mnist" / LABELS, how(pictures("train", 0)[1]))


def zipped(root: Path, **arrays: Array) -> Path:
    """Put one .npz in the place of a folder's files."""
    emptied(root / "mnist")
    np.savez(root / "mnist" / "mnist.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub wants allow_pickle named
    return root / "mnist" / "mnist.npz"


def all_arrays() -> dict[str, Array]:
    return {f"{kind}_{split}": pictures(split, 0)[i] for split in STEMS for i, kind in enumerate("xy")}


def cut(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def gzipped(root: Path) -> Path:
    raw = (root / "mnist" / IMAGES).read_bytes()
    (root / "mnist" / IMAGES).unlink()
    path = root / "mnist" / f"{IMAGES}.gz"
    path.write_bytes(gzip.compress(raw))
    return path


def damage(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 255
    path.write_bytes(raw)


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def without_test(root: Path) -> None:
    for file in (root / "mnist").glob("t10k*"):
        file.unlink()


def several(root: Path) -> None:
    zipped(root, **all_arrays()).rename(root / "mnist" / "a.npz")
    np.savez(root / "mnist" / "b.npz")


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no root": (shutil.rmtree, r"digits: found no such folder; expected a folder with mnist and clothes"),
    "no folder": (
        lambda root: shutil.rmtree(root / "clothes"),
        r"clothes: found no such folder; expected train-images",
    ),
    "no files": (
        lambda root: emptied(root / "mnist"),
        r"mnist: found none of its files; expected train-images-idx3-ubyte",
    ),
    "no labels": (
        lambda root: shutil.move(root / "mnist" / LABELS, root),
        r"mnist.train-labels-idx1-ubyte: found no such file",
    ),
    "no test": (
        without_test,
        r"mnist.t10k-images-idx3-ubyte: found no such file",
    ),
    "gzip cut": (lambda root: cut(gzipped(root), 900), r"idx3-ubyte\.gz: found a gzip file that is cut short"),
    "gzip damaged": (lambda root: damage(gzipped(root)), r"idx3-ubyte\.gz: found a damaged gzip file"),
    "no gzip": (
        lambda root: gzipped(root).write_bytes(b"text"),
        r"idx3-ubyte\.gz: found a damaged gzip file \(Not a gzipped file",
    ),
    "cut short": (
        lambda root: cut(root / "mnist" / IMAGES, 10),
        r"idx3-ubyte: found 47,030 bytes of data; expected 60 x 28 x 28 bytes, as its header says",
    ),
    "too long": (
        lambda root: (root / "mnist" / LABELS).write_bytes((root / "mnist" / LABELS).read_bytes() + b"1"),
        r"idx1-ubyte: found 61 bytes of data; expected 60 bytes, as its header says",
    ),
    "no header": (
        lambda root: (root / "mnist" / IMAGES).write_bytes(b"\0\0\x08\x03\0\0"),
        r"found 6 bytes; expected a",
    ),
    "empty": (lambda root: (root / "mnist" / IMAGES).write_bytes(b""), r"idx3-ubyte: found 0 bytes; expected IDX"),
    "another magic": (
        lambda root: shutil.copy(root / "mnist" / LABELS, root / "mnist" / IMAGES),
        r"idx3-ubyte: found the magic number 0x00000801; expected IDX of unsigned bytes in 3 dimensions, .* 0x00000803",
    ),
    "another size": (
        lambda root: write_idx(root / "mnist" / IMAGES, np.zeros((60, 32, 32), np.uint8)),
        r"idx3-ubyte: found pictures uint8 \[60, 32, 32\]; expected uint8 \[n, 28, 28\]",
    ),
    "no pictures": (
        lambda root: write_idx(root / "mnist" / IMAGES, np.zeros((0, 28, 28), np.uint8)),
        r"idx3-ubyte: found pictures uint8 \[0, 28, 28\]; expected uint8 \[n, 28, 28\], n at least 1",
    ),
    "fewer labels": (
        lambda root: change_labels(root, lambda labels: labels[:-1]),
        r"idx1-ubyte: found labels uint8 \[59\]; expected whole numbers \[60\], one for each picture of train-images",
    ),
    "label above": (
        lambda root: change_labels(root, lambda labels: labels + 1),
        r"idx1-ubyte: found labels from 1 to 10; expected labels from 0 to 9",
    ),
    "a folder": (lambda root: as_directory(gzipped(root)), r"images-idx3-ubyte: found no such file"),
    "npz without test": (
        lambda root: zipped(root, **{k: v for k, v in all_arrays().items() if "test" not in k}),
        r"mnist\.npz: found no x_test; it holds x_train, y_train; expected x_train, y_train, x_test and y_test",
    ),
    "npz cut": (lambda root: cut(zipped(root, **all_arrays()), 3000), r"mnist\.npz: found a file that can't be read"),
    "npz pickled": (
        lambda root: zipped(root, **(all_arrays() | {"y_train": np.array([{}] * 60, dtype=object)})),
        r"mnist\.npz: found a file that can't be read .*expected NumPy arrays without pickled objects",
    ),
    "npz of floats": (
        lambda root: zipped(root, **(all_arrays() | {"x_train": np.zeros((60, 28, 28))})),
        r"mnist\.npz: found pictures float64 \[60, 28, 28\]; expected uint8",
    ),
    "several npz": (
        several,
        r"mnist: found 2 \.npz files \(a\.npz, b\.npz\); expected a single one, or one called mnist\.npz",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_file(folder: Path, fault: str) -> None:
    plant, message = FAULTS[fault]
    plant(folder)
    with pytest.raises(DataError, match=message):
        TwoDigitsData(root=folder, **SMALL).open()
    findings = check_data(TwoDigitsData(root=folder, **SMALL))
    assert findings.rows == ()
    assert 1 <= len(findings.problems) <= 5


def test_an_unreadable_file_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"idx3-ubyte: found a file that can't be read \(Permission denied\)"):
        TwoDigitsData(root=folder, **SMALL).open()


def test_the_table_counts_the_pictures(good: Path) -> None:
    findings = check_data(TwoDigitsData(root=good, **SMALL))
    assert findings.rows == (
        ("left (mnist)", "10", "60", "20", "6", "6"),
        ("right (clothes)", "10", "60", "20", "6", "6"),
    )
    assert findings.notes == ("300 training, 100 validation and 50 test pairs are made of these pictures",)


def test_what_the_tasks_are(good: Path) -> None:
    splits = TwoDigitsData(root=good, **SMALL).open()
    assert [(task["kind"], task["name"], task["classes"]) for task in splits.tasks] == [
        ("classification", "left", 10),
        ("classification", "right", 10),
    ]
    assert splits.classes["left"][3] == "3"
    assert splits.notes == ("validation: 100 pairs of 15 training pictures that train has not",)


@pytest.mark.parametrize("index", [-1, 50])
def test_an_index_outside_is_refused(good: Path, index: int) -> None:
    splits = TwoDigitsData(root=good, **SMALL).open()
    assert splits.test is not None
    with pytest.raises(IndexError, match=f"pair {index} is not among the 50"):
        splits.test[index]


@pytest.mark.parametrize("wrong", [{"shift": 4}, {"train": 0}, {"left": ""}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        TwoDigitsData(**{"root": "x", **wrong})


def test_settings_read_back_from_plain_data(good: Path) -> None:
    settings = TwoDigitsData(root=good, **SMALL)
    assert datasets.get("two_digits")(**settings.model_dump(mode="json")) == settings


def test_real_pictures_are_read(shared_data: Path) -> None:
    findings = check_data(TwoDigitsData(root=shared_data, right="fashion_mnist"))
    assert findings.rows == (
        ("left (mnist)", "10", "60,000", "10,000", "5,421", "6,742"),
        ("right (fashion_mnist)", "10", "60,000", "10,000", "6,000", "6,000"),
    )
    splits = TwoDigitsData(root=shared_data, right="fashion_mnist").open()
    assert splits.classes["right"][9] == "ankle boot"
