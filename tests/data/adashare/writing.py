"""Small sets, byte for byte as AdaShare's loaders read them: OpenCV and Pillow for pictures, NumPy for arrays."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["Array", "H", "W", "cityscapes", "directions", "encoded", "nyuv2", "taskonomy", "write", "write_list"]

H, W = 12, 16
Array = npt.NDArray[Any]


def write(path: Path, array: Array) -> None:
    """Write an array as a picture or as a NumPy file, by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)


def write_list(file: Path, splits: Mapping[str, Sequence[Sequence[str | None]]]) -> None:
    """Write a list of samples."""
    file.write_text(json.dumps(splits), encoding="utf-8")


def directions(rng: np.random.Generator) -> Array:
    """Return unit vectors in the camera's frame (x right, y down, z forward) that face the camera."""
    vectors: Array = rng.normal(size=(H, W, 3))
    vectors[..., 2] = -np.abs(vectors[..., 2])
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors


def encoded(vectors: Array) -> Array:
    """Return vectors as bytes."""
    return np.rint((vectors + 1) * 127.5).astype(np.uint8)


def nyuv2(root: Path, splits: Mapping[str, int]) -> dict[str, dict[str, Array]]:
    """Write NYUv2 and return its truth by name of the picture."""
    rows: dict[str, list[list[str]]] = {}
    rng, truth = np.random.default_rng(0), {}
    for split, count in splits.items():
        names = [f"{split}{number:04d}" for number in range(count)]
        for name in names:
            normals = directions(rng)
            right, down, forward = np.moveaxis(normals, -1, 0)
            bytes_of_normals = encoded(np.stack([right, forward, -down], -1))  # their axes: right, forward, up
            bytes_of_normals[0, 0] = 255
            image = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
            seg = rng.integers(0, 40, (H, W), dtype=np.uint8)
            seg[1, 2] = 255
            depth = rng.uniform(0.7, 9, (H, W)).astype(np.float32)
            depth[2, 3] = 0
            write(root / "img" / f"{name}.png", image)
            write(root / "seg" / f"{name}.png", seg)
            write(root / "normal_mask" / f"{name}.png", bytes_of_normals)
            write(root / "depth" / f"{name}.npy", np.asfortranarray(depth))
            truth[name] = {"image": image, "seg": seg, "normal": normals, "bytes": bytes_of_normals, "depth": depth}
        rows[split] = [[f"{kind}/{name}" for kind, name in zip(_NYUV2, _files(name), strict=True)] for name in names]
    write_list(root / "nyu_v2_3task.json", rows)
    return truth


_NYUV2 = ("img", "seg", "normal_mask", "depth")


def _files(name: str) -> tuple[str, ...]:
    return f"{name}.png", f"{name}.png", f"{name}.png", f"{name}.npy"


def cityscapes(root: Path, splits: Mapping[str, int]) -> dict[str, dict[str, Array]]:
    """Write Cityscapes and return its truth by path of the picture."""
    rows: dict[str, list[list[str]]] = {}
    rng, truth = np.random.default_rng(1), {}
    for split, count in splits.items():
        rows[split] = []
        for number in range(count):
            labels = {f"label{classes}": rng.integers(-1, classes, (H, W)) for classes in (2, 7, 19)}
            depth = rng.uniform(0.001, 0.49, (H, W, 1)).astype(np.float32)
            depth[0, :2] = ((0,), (2e-5,))
            image = rng.random((H, W, 3)).astype(np.float32)
            arrays: dict[str, Array] = {"image": image, "depth": depth, **labels}
            row = [f"{split}/{kind}/{number}.npy" for kind in arrays]
            for path, array in zip(row, arrays.values(), strict=True):
                write(root / path, array)
            rows[split].append(row)
            truth[row[0]] = arrays
    write_list(root / "cityscape.json", rows)
    return truth


def taskonomy(root: Path, splits: Mapping[str, int]) -> dict[str, dict[str, Array]]:
    """Write Tiny-Taskonomy and return its truth by path of the picture."""
    rows: dict[str, list[list[str]]] = {}
    rng, truth = np.random.default_rng(2), {}
    np.save(root / "semseg_prior_factor.npy", np.ones(17))  # their loader wants it
    for split, count in splits.items():
        rows[split] = []
        for number in range(count):
            normals = directions(rng)
            bytes_of_normals = encoded(normals * [1, 1, -1])  # their axes: right, down, towards the camera
            bytes_of_normals[0, 0] = 128
            depth = rng.integers(300, 9000, (H, W), dtype=np.uint16)
            depth[0, 0], depth[1, 1] = 65535, 64500
            arrays: dict[str, Array] = {
                "image": rng.integers(0, 256, (H, W, 3), dtype=np.uint8),
                "seg": rng.integers(0, 18, (H, W), dtype=np.uint8),
                "normal": bytes_of_normals,
                "depth": depth,
                "keypoint": rng.integers(0, 500, (H, W), dtype=np.uint16),
                "edge": rng.integers(0, 8000, (H, W), dtype=np.uint16),
            }
            row = [f"{split}/ackermanville/{kind}/point_{number}_view_0_{kind}.png" for kind in arrays]
            for path, array in zip(row, arrays.values(), strict=True):
                write(root / path, array)
            rows[split].append(row)
            truth[row[0]] = {**arrays, "directions": normals}
    write_list(root / "taskonomy.json", rows)
    return truth
