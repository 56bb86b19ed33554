"""Kinds of targets: what cropping, zooming and mirroring the picture does to each."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["KINDS", "Kind", "Window", "kinds_of"]

LOG_SCALE = math.log(2**16)


class Window(NamedTuple):
    """A part of a picture, in shares of its width and height."""

    left: float
    top: float
    width: float
    height: float


class Kind(NamedTuple):
    """How a target changes with its picture.

    Attributes:
        on_pixels: Whether it lies on pixels, which then move with those of the picture.
        zoomed: What becomes of its values when things look nearer by a factor; None for nothing.
        cropped: What becomes of its values when a window of the picture is scaled back to full size; None for nothing.
        mirrored: What becomes of its values, already moved, when left and right are swapped; None for nothing.
    """

    on_pixels: bool = True
    zoomed: Callable[[Tensor, float], Tensor] | None = None
    cropped: Callable[[Tensor, Window], Tensor] | None = None
    mirrored: Callable[[Tensor], Tensor] | None = None


def _nearer(target: Tensor, scale: float) -> Tensor:
    return target / scale


def _nearer_inverse(target: Tensor, scale: float) -> Tensor:
    return target * scale


def _nearer_log(target: Tensor, scale: float) -> Tensor:
    return torch.log1p(torch.expm1(target.double() * LOG_SCALE) / scale).div(LOG_SCALE).to(target.dtype)


def _other_hand(target: Tensor) -> Tensor:
    return torch.cat([-target[..., :1, :, :], target[..., 1:, :, :]], dim=-3)


def _places_in(points: Tensor, window: Window) -> Tensor:
    moved = points.clone()
    moved[:, 2] = (points[:, 2] - window.left) / window.width
    moved[:, 3] = (points[:, 3] - window.top) / window.height
    return moved


def _wider(points: Tensor, scale: float) -> Tensor:
    return torch.cat([points[:, :4], points[:, 4:] * scale], dim=1)


def _twins(points: Tensor) -> Tensor:
    return torch.stack([points[:, 1], points[:, 0], 1 - points[:, 2], points[:, 3], points[:, 4]], dim=1)


KINDS: dict[str, Kind] = {
    "segmentation": Kind(),
    "depth": Kind(zoomed=_nearer),
    "inverse_depth": Kind(zoomed=_nearer_inverse),
    "log_depth": Kind(zoomed=_nearer_log),
    "normals": Kind(mirrored=_other_hand),
    "map": Kind(),
    "points": Kind(on_pixels=False, zoomed=_wider, cropped=_places_in, mirrored=_twins),
    "classification": Kind(on_pixels=False),
}
"""Every kind by its name. Normals have x first; a ``map`` only moves, whatever its values are. ``points`` are rows of
what a point is, what it is in a mirror, its x and y (shares of width and height), and a length in pixels."""


def kinds_of(tasks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the kind of each target.

    Args:
        tasks: Ready tasks as plain data: ``kind``, and ``name`` where it is not the kind's own. The kind of a depth is
            also its ``scale``.

    Returns:
        Target to kind.

    Examples:
        >>> kinds_of([{"kind": "depth", "name": "far"}, {"kind": "depth", "scale": "inverse"}, {"kind": "normals"}])
        {'far': 'depth', 'depth': 'inverse_depth', 'normals': 'normals'}
    """
    return {task.get("name", task["kind"]): _kind(task) for task in tasks}


def _kind(task: Mapping[str, Any]) -> str:
    scale = task.get("scale", "linear") if task["kind"] == "depth" else "linear"
    return str(task["kind"]) if scale == "linear" else f"{scale}_depth"
