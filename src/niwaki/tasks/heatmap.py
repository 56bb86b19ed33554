"""Heatmaps of keypoints or object centres: a focal loss on logits, and whether the peaks are found.

A heatmap is nearly all background, so that a squared error is small for an answer without any peak; the loss is
therefore the penalty-reduced focal loss of CornerNet and CenterNet, which weighs peaks against background. For the same
reason the metrics ask for the peaks themselves, and need no threshold. With one peak in a map the share of those found
is that of correct keypoints (PCK) at a fixed radius; where most maps have none, average precision also counts what was
found in the wrong one.
"""

from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from niwaki.tasks.colours import INVALID, heat_colours
from niwaki.tasks.maps import check_like
from niwaki.tasks.masked import blanked
from niwaki.tasks.meters import Metric
from niwaki.tasks.peaks import local_maxima, true_peaks
from niwaki.tasks.precision import PeakPrecision
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadyTask, ready
from niwaki.tasks.task import Picture

__all__ = ["Heatmap", "HeatmapScores", "draw_heat", "heatmap_loss"]


def heatmap_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Return equation 1 of "Objects as Points" (arXiv 1904.07850), with alpha 2 and beta 4.

    Args:
        pred: Logits ``[N, K, H, W]``.
        target: Heat in [0, 1], the same shape, 1 on peaks; NaN where there is no label.

    Returns:
        The sum over labelled cells divided by the number of peaks (by 1 where there is none).

    Examples:
        >>> heatmap_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, torch.nan]]]]))  # .25 ln 2
        tensor(0.1733)
    """
    mask = ~target.isnan()
    pred, target = blanked(pred, mask), blanked(target, mask)
    peaks = true_peaks(target)
    heat = pred.sigmoid()
    on_peak = (1 - heat).square() * F.logsigmoid(pred)
    beside = (1 - target).pow(4) * heat.square() * F.logsigmoid(-pred)
    total = blanked(torch.where(peaks, on_peak, beside), mask).sum()
    return -total / peaks.sum().clamp(min=1)


class HeatmapScores(Metric):
    """Share of true peaks found, and the error of the heat.

    In a map with n true peaks the n highest local maxima (3x3) of the prediction, where there is a label, are its
    answers; a true peak is found when an answer lies within `radius` cells of it in both directions.

    Args:
        radius: Largest distance in cells.

    Examples:
        >>> scores = HeatmapScores(radius=0)
        >>> scores.update(torch.tensor([[[[9.0, -9.0, -9.0]]]]), torch.tensor([[[[1.0, 0.0, 0.0]]]]))
        >>> float(scores.compute()["found"])
        1.0
    """

    full_state_update = False
    counts: Tensor
    squares: Tensor

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch: logits and heat ``[N, K, H, W]``."""
        mask = ~target.isnan()
        heat, truth = pred.float().sigmoid(), blanked(target, mask).float()
        peaks = true_peaks(truth).flatten(0, 1)
        maps = peaks.flatten(1).any(1)
        peaks = peaks[maps]
        maxima = local_maxima(pred.float().flatten(0, 1)[maps], mask.flatten(0, 1)[maps])
        answers = _highest(maxima, peaks.flatten(1).sum(1))
        near = F.max_pool2d(answers[:, None].float(), 2 * self.radius + 1, stride=1, padding=self.radius)[:, 0] > 0
        self.counts += torch.stack([(near & peaks).sum(), peaks.sum(), mask.sum()])
        self.squares += (blanked(heat, mask) - truth).double().square().sum()

    def compute(self) -> dict[str, Tensor]:
        """Return ``found`` as a fraction (NaN without any true peak) and ``rmse`` of the heat."""
        found, peaks, cells = self.counts.double()
        return {"found": found / peaks, "rmse": (self.squares / cells).sqrt()}


def _highest(maxima: Tensor, numbers: Tensor) -> Tensor:
    """Mark the ``numbers[i]`` highest of each map's maxima: ``[M, H, W] -> bool [M, H, W]``."""
    if not len(maxima):
        return torch.zeros_like(maxima, dtype=torch.bool)
    scores = maxima.flatten(1)
    top, where = scores.topk(int(numbers.max()), dim=1)
    asked = torch.arange(top.shape[1], device=maxima.device) < numbers[:, None]
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, where, asked & (top > -torch.inf))
    return chosen.reshape(maxima.shape)


def draw_heat(value: Any, target: Any = None) -> Picture:  # noqa: ARG001 - every drawing takes a target
    """Draw the hottest of a sample's maps, cold dark and hot bright; unlabelled cells dark grey.

    Args:
        value: Heat in [0, 1] or logits, ``[K, H, W]``; values all in [0, 1] are taken as heat.
        target: Not used; every drawing takes one.

    Returns:
        uint8 ``[H, W, 3]``.

    Examples:
        >>> draw_heat(torch.full((2, 1, 1), torch.nan))[0, 0].tolist()
        [48, 48, 48]
    """
    maps = torch.as_tensor(value).detach().float().cpu()
    known = ~maps.isnan()
    maps = blanked(maps, known)
    heat = maps if bool(((maps >= 0) & (maps <= 1)).all()) else maps.sigmoid()
    picture = heat_colours(blanked(heat, known).amax(0).numpy())
    picture[~known.any(0).numpy()] = np.uint8(INVALID)
    return picture


@ready("heatmap")
class Heatmap(ReadyTask):
    """Where things are. Logits and heat float ``[N, K, H, W]``, a map for each keypoint or class.

    The heat of a target is 1 on a thing's cell and falls off around it; NaN is no label. Metrics: ``found``, percent of
    true peaks that are found within `radius` cells in maps that have any; ``ap``, the average precision of the peaks of
    all maps, percent, which also counts what is found where nothing is; and ``rmse`` of the heat.

    Args:
        name: Key of the task.
        radius: Largest distance of a peak that counts as found, in cells of the map.
        primary: ``found``, for things that every sample has; ``ap``, for things that a sample may lack, such as objects
            of many classes.

    Raises:
        SettingError: When an option is not allowed.

    Examples:
        >>> Heatmap(name="centres").primary
        'found'
    """

    def __init__(
        self,
        *,
        name: str = "heatmap",
        radius: Annotated[int, Field(ge=0)] = 2,
        primary: Literal["found", "ap"] = "found",
    ) -> None:
        self.settings = self.settings_class(name=name, radius=radius, primary=primary)
        scores = HeatmapScores(radius)
        super().__init__(
            name,
            loss=heatmap_loss,
            metrics={
                "found": Reading(scores, "higher", "%", key="found", scale=100),
                "ap": Reading(PeakPrecision(radius), "higher", "%", scale=100),
                "rmse": Reading(scores, "lower", key="rmse"),
            },
            primary=primary,
            draw=draw_heat,
            check=partial(check_like, channels=None),
        )
