"""Surface normals: the angle between directions over valid pixels; zero and NaN vectors are no labels."""

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niwaki.errors import ContractError
from niwaki.tasks.colours import INVALID
from niwaki.tasks.maps import check_like
from niwaki.tasks.masked import blanked, masked_mean
from niwaki.tasks.meters import Metric, dim_zero_cat
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadyTask, ready
from niwaki.tasks.task import Picture

__all__ = [
    "NormalsScores",
    "SurfaceNormals",
    "angles",
    "decode_normals",
    "draw_normals",
    "normals_loss",
    "valid_normals",
]

_WITHIN = (11.25, 22.5, 30.0)
_SHORT = 1e-3
"""Predictions shorter than this are divided by it: their gradient stays bounded at the zero vector."""
_TINY = 1e-12


def valid_normals(target: Tensor) -> Tensor:
    """Return where a normal is a direction: ``[N, 3, H, W] -> bool [N, 1, H, W]``, finite and not zero."""
    size = target.abs().sum(
        1, keepdim=True
    )  # NaN and infinity survive the sum; several times faster than all() and any()
    return (size > 0) & (size < torch.inf)


def normals_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Return the mean of one minus the cosine over valid pixels, both vectors normalised.

    Args:
        pred: ``[N, 3, H, W]``, any length.
        target: ``[N, 3, H, W]``; invalid where zero or not finite.

    Returns:
        A scalar in [0, 2]; zero where nothing is valid.

    Examples:
        >>> right_angle = torch.tensor([0.0, 5.0, 0.0]).reshape(1, 3, 1, 1)
        >>> normals_loss(right_angle, torch.tensor([0.0, 0.0, -1.0]).reshape(1, 3, 1, 1))
        tensor(1.)
    """
    mask = valid_normals(target)
    ours, theirs = _unit(blanked(pred, mask), _SHORT), _unit(blanked(target, mask), _TINY)
    return masked_mean(1 - (ours * theirs).sum(1, keepdim=True), mask)


def _unit(vectors: Tensor, shortest: float) -> Tensor:
    """Normalise along dim 1. The same as `F.normalize`, which is four times slower on maps."""
    return vectors * vectors.square().sum(1, keepdim=True).clamp(min=shortest**2).rsqrt()


def angles(pred: Tensor, target: Tensor) -> Tensor:
    """Return the angles between vectors in degrees, exact also near 0 and 180 (arc tangent, not arc cosine).

    Args:
        pred: ``[M, 3]``, any length; a zero vector points nowhere and counts as 90 degrees off.
        target: ``[M, 3]``, any length but zero.

    Returns:
        ``[M]``, in [0, 180].

    Examples:
        >>> angles(torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
        tensor([45., 90.])
    """
    ours, theirs = _unit(pred, _TINY), _unit(target, _TINY)
    sine = torch.linalg.vector_norm(torch.linalg.cross(ours, theirs, dim=1), dim=1)
    degrees = torch.rad2deg(torch.atan2(sine, (ours * theirs).sum(1)))
    return torch.where((ours == 0).all(1), 90.0, degrees)


class NormalsScores(Metric):
    """Angles in degrees over all valid pixels it has seen: exact mean, exact median, shares within 11.25, 22.5, 30.

    It keeps every angle, four bytes a pixel (0.3 GB for the 654 test images of NYUv2), because the exact median needs
    them.

    Examples:
        >>> scores = NormalsScores()
        >>> up, tilted = torch.tensor([0.0, -1.0, 0.0]), torch.tensor([0.0, -1.0, -1.0])
        >>> scores.update(tilted.reshape(1, 3, 1, 1), up.reshape(1, 3, 1, 1))
        >>> float(scores.compute()["median"])
        45.0
    """

    full_state_update = False
    degrees: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("degrees", [], dist_reduce_fx="cat")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch: prediction and target ``[N, 3, H, W]``."""
        mask = valid_normals(target)[:, 0]
        ours, theirs = (each.float().movedim(1, -1)[mask] for each in (pred, target))
        self.degrees.append(angles(ours, theirs))

    def compute(self) -> dict[str, Tensor]:
        """Return the five scores by name; shares as fractions."""
        degrees = dim_zero_cat(self.degrees)
        bad = bool(degrees.isnan().any())
        median = float("nan") if bad else float(np.median(degrees.cpu().numpy()))
        found = {"mean": degrees.mean(dtype=torch.float64), "median": torch.tensor(median, dtype=torch.float64)}
        return found | {f"within_{most:g}": (degrees < most).double().mean() for most in _WITHIN}


def decode_normals(values: NDArray[np.uint8], *, legacy_adashare: bool = False) -> NDArray[np.float32]:
    """Return the normals a picture encodes, ``n = v / 127.5 - 1``.

    A line of papers reads the bytes undecoded, so that all directions fall into one octant and a *constant* prediction
    is off by about 20 degrees; `legacy_adashare` reproduces that reading, to compare with their tables only. It takes
    pixels with a byte of 255 for unlabelled.

    Args:
        values: uint8 ``[..., 3]``.
        legacy_adashare: Read the bytes undecoded (divided by 255).

    Returns:
        float32 ``[..., 3]``; the zero vector, "no label", where the decoded length is not about 1 (in 0.5..1.5).

    Raises:
        ContractError: When the picture is not uint8 with three channels last.

    Examples:
        >>> decode_normals(np.array([[128, 128, 0], [0, 0, 0]], np.uint8)).round(2)
        array([[ 0.,  0., -1.], [ 0.,  0.,  0.]], dtype=float32)
    """
    if values.dtype != np.uint8 or values.shape[-1:] != (3,):
        got = f"{values.dtype}{list(values.shape)}"
        raise ContractError(f"encoded normals are {got}; expected uint8[..., 3] (floating normals need no decoding)")
    if legacy_adashare:
        return np.where(values.max(-1, keepdims=True) < 255, values / np.float32(255), np.float32(0))
    normals = (values / np.float32(127.5) - np.float32(1)).astype(np.float32)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where((length > 0.5) & (length < 1.5), normals, np.float32(0))


def draw_normals(value: Any, target: Any = None) -> Picture:  # noqa: ARG001 - every drawing takes a target
    """Draw normals as colours: right red, up green, towards the camera blue; invalid pixels dark grey.

    Args:
        value: Normals ``[3, H, W]`` in the camera frame (x right, y down, z forward), any length.
        target: Not used; every drawing takes one.

    Returns:
        uint8 ``[H, W, 3]``.

    Examples:
        >>> draw_normals(torch.tensor([0.0, 0.0, -1.0]).reshape(3, 1, 1))[0, 0].tolist()
        [128, 128, 255]
    """
    normals = torch.as_tensor(value).detach().float().cpu()
    mask = valid_normals(normals[None])[0, 0].numpy()
    shown = _unit(normals.nan_to_num()[None], _TINY)[0].movedim(0, -1).numpy() * np.array([1, -1, -1], np.float32)
    picture = np.round((shown + 1) * 127.5 + 1e-3).clip(0, 255).astype(np.uint8)
    picture[~mask] = INVALID
    return picture


@ready("normals")
class SurfaceNormals(ReadyTask):
    """Which way each pixel's surface faces. Prediction and target float ``[N, 3, H, W]``, of any length.

    The loss is one minus the cosine. Metrics, of the angle in degrees: ``mean`` (primary), ``median``, and percent of
    pixels ``within_11.25``, ``within_22.5``, ``within_30``.

    Args:
        name: Key of the task.

    Raises:
        SettingError: When an option is not allowed.

    Examples:
        >>> SurfaceNormals().directions["within_11.25"]
        'higher'
    """

    def __init__(self, *, name: str = "normals") -> None:
        self.settings = self.settings_class(name=name)
        scores = NormalsScores()
        metrics = {each: Reading(scores, "lower", "degrees", key=each) for each in ("mean", "median")}
        names = [f"within_{most:g}" for most in _WITHIN]
        super().__init__(
            name,
            loss=normals_loss,
            metrics=metrics | {each: Reading(scores, "higher", "%", key=each, scale=100) for each in names},
            primary="mean",
            draw=draw_normals,
            labelled=valid_normals,
            check=partial(check_like, channels=3),
        )
