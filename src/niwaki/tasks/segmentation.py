"""Semantic segmentation: cross-entropy over labelled pixels, mIoU of one confusion matrix."""

from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from niwaki.tasks.colours import INVALID, palette
from niwaki.tasks.labels import check_labels, labelled_elements
from niwaki.tasks.masked import labelled_cross_entropy
from niwaki.tasks.meters import MulticlassConfusionMatrix
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadyTask, ready
from niwaki.tasks.task import Picture

__all__ = ["Segmentation", "SegmentationScores", "draw_labels"]


class SegmentationScores(MulticlassConfusionMatrix):
    """Mean IoU and pixel accuracy of one confusion matrix over everything it has seen.

    The mean runs over the classes that occur in a target or in a prediction for a labelled pixel.

    Args:
        classes: Number of classes.
        ignore_index: The label that means "no label".

    Examples:
        >>> scores = SegmentationScores(3, ignore_index=-1)
        >>> scores.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 1, 1, -1]]]))
        >>> {name: float(value) for name, value in scores.compute().items()}
        {'miou': 0.5, 'pixel_accuracy': 0.666..., 'classes_present': 2.0}
    """

    def __init__(self, classes: int, ignore_index: int) -> None:
        super().__init__(classes, ignore_index=ignore_index, validate_args=False)

    def compute(self) -> Any:
        """Return ``miou`` and ``pixel_accuracy`` as fractions, and the number ``classes_present``."""
        counts = self.confmat.double()
        right = counts.diagonal()
        union = counts.sum(0) + counts.sum(1) - right
        present = union > 0
        return {
            "miou": (right[present] / union[present]).mean(),
            "pixel_accuracy": right.sum() / counts.sum(),
            "classes_present": present.sum(),
        }


def draw_labels(value: Any, target: Any = None, *, classes: int, ignore_index: int) -> Picture:  # noqa: ARG001
    """Draw logits or labels in the palette of the classes, unlabelled pixels dark grey.

    Args:
        value: Logits ``[C, H, W]`` or labels ``[H, W]``.
        target: Not used; every drawing takes one.
        classes: Number of classes.
        ignore_index: The label that means "no label".

    Returns:
        uint8 ``[H, W, 3]``.

    Examples:
        >>> draw_labels(torch.tensor([[0, -1]]), classes=13, ignore_index=-1).shape
        (1, 2, 3)
    """
    value = torch.as_tensor(value).detach().cpu()
    labels = (value.float().argmax(0) if value.ndim == 3 else value).long().numpy()
    known = (labels != ignore_index) & (labels >= 0) & (labels < classes)
    return np.where(known[..., None], palette(classes)[np.where(known, labels, 0)], np.uint8(INVALID))


@ready("segmentation")
class Segmentation(ReadyTask):
    """Which class each pixel is. Logits ``[N, classes, H, W]``, labels int ``[N, H, W]``.

    Metrics: ``miou`` (primary) and ``pixel_accuracy``, percent; the number of ``classes_present`` is reported.

    Args:
        classes: Number of classes, at least 2.
        name: Key of the task.
        ignore_index: The label that means "no label".

    Raises:
        SettingError: When an option is not allowed.

    Examples:
        >>> task = Segmentation(13)
        >>> task.loss(torch.zeros(1, 13, 2, 2), torch.full((1, 2, 2), -1))  # nothing is labelled
        tensor(0.)
    """

    def __init__(
        self, classes: Annotated[int, Field(ge=2)], *, name: str = "segmentation", ignore_index: int = -1
    ) -> None:
        self.settings = self.settings_class(classes=classes, name=name, ignore_index=ignore_index)
        scores = SegmentationScores(classes, ignore_index)
        super().__init__(
            name,
            loss=partial(labelled_cross_entropy, ignore_index=ignore_index),
            metrics={
                "miou": Reading(scores, "higher", "%", key="miou", scale=100),
                "pixel_accuracy": Reading(scores, "higher", "%", key="pixel_accuracy", scale=100),
                "classes_present": Reading(scores, "count", key="classes_present"),
            },
            primary="miou",
            draw=partial(draw_labels, classes=classes, ignore_index=ignore_index),
            labelled=partial(labelled_elements, ignore_index=ignore_index),
            check=partial(check_labels, dims=", H, W", classes=classes, ignore_index=ignore_index),
        )
