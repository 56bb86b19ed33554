"""Average precision of peaks: how many are found against how many answers are wrong, over all maps and samples."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from niwaki.tasks.meters import Metric, dim_zero_cat
from niwaki.tasks.peaks import local_maxima, true_peaks

__all__ = ["PeakPrecision", "average_precision"]

_ANSWERS = 100
_RECALLS = np.linspace(0.0, 1.0, 101)


def average_precision(scores: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], truths: int) -> float:
    """Return the area under precision over recall, as COCO takes it: the best precision at 101 recalls and beyond.

    Args:
        scores: How sure each answer is, ``[A]``.
        right: Whether it is right, ``[A]``.
        truths: How many right answers there could be, at least 1.

    Returns:
        From 0 to 1.

    Examples:
        >>> average_precision(np.array([0.9, 0.8]), np.array([False, True]), 1)
        0.5
    """
    found = right[np.argsort(-scores, kind="stable")].cumsum()
    precision = found / np.arange(1, len(found) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(found / truths, _RECALLS)
    return float(np.append(best, 0.0)[places].mean())


class PeakPrecision(Metric):
    """Mean over maps of the average precision of peaks.

    The answers of a sample are the 100 highest local maxima (3x3) of all its maps where there is a label. The surest
    comes first, and takes the nearest true peak of its map that is left within `radius` cells in both directions; an
    answer that finds none is wrong. That is COCO's average precision, with nearness of peaks in place of overlap.

    Args:
        radius: Largest distance in cells.

    Examples:
        >>> metric = PeakPrecision(radius=0)
        >>> metric.update(torch.tensor([[[[9.0, 0.0, 8.0]]]]), torch.tensor([[[[0.0, 0.0, 1.0]]]]))
        >>> float(metric.compute())
        0.5
    """

    full_state_update = False
    answers: list[Tensor]
    truths: list[Tensor]

    def __init__(self, radius: int) -> None:
        super().__init__()
        self.radius = radius
        self.add_state("answers", [], dist_reduce_fx="cat")
        self.add_state("truths", [], dist_reduce_fx="cat")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch: logits and heat ``[N, K, H, W]``."""
        for maps, truth in zip(pred.float(), target, strict=True):
            peaks = true_peaks(truth)
            scores, places = _surest(local_maxima(maps, ~truth.isnan()))
            right = _taken(places, peaks.nonzero().cpu().numpy(), self.radius)
            told = [places[:, 0], scores.cpu().numpy(), right]
            self.answers.append(torch.tensor(np.stack(told, axis=1), dtype=torch.float32, device=pred.device))
            self.truths.append(peaks.flatten(1).sum(1, keepdim=True).T)

    def compute(self) -> Tensor:
        """Return the mean over maps with any true peak as a fraction, NaN without one."""
        answers, truths = dim_zero_cat(self.answers), dim_zero_cat(self.truths).sum(0)
        kind, score, right = answers.cpu().numpy().T
        each = [
            average_precision(score[kind == own], right[kind == own] > 0, int(truths[own]))
            for own in truths.nonzero().flatten().tolist()
        ]
        return torch.tensor(np.mean(each) if each else np.nan, dtype=torch.float64)


def _surest(maxima: Tensor) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """Return the highest values of maps ``[K, H, W]``, descending, and their places ``[A, 3]``."""
    scores, flat = maxima.flatten().topk(min(_ANSWERS, maxima.numel()))
    some = scores > -torch.inf
    places = np.stack(np.unravel_index(flat[some].cpu().numpy(), maxima.shape), axis=1)
    return scores[some], places


def _taken(answers: npt.NDArray[np.int64], truths: npt.NDArray[np.int64], radius: int) -> npt.NDArray[np.bool_]:
    """Return which answers, one after the other, take a true peak that is left; both are ``[_, 3]``."""
    left = np.ones(len(truths), np.bool_)
    right = np.zeros(len(answers), np.bool_)
    for place, (own, row, column) in enumerate(answers.tolist()):
        apart = np.abs(truths[:, 1:] - (row, column))
        near = left & (truths[:, 0] == own) & (apart <= radius).all(1)
        if near.any():
            taken = np.flatnonzero(near)[np.square(apart[near]).sum(1).argmin()]
            left[taken], right[place] = False, True
    return right
