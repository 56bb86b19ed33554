"""Classification: cross-entropy over labelled samples, top-1 accuracy, and F1 for attributes."""

from functools import partial
from typing import Annotated

from pydantic import Field

from niwaki.errors import SettingError
from niwaki.tasks.labels import check_labels, labelled_elements
from niwaki.tasks.masked import labelled_cross_entropy
from niwaki.tasks.meters import MulticlassAccuracy, MulticlassF1Score
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadyTask, ready

__all__ = ["Classification"]


@ready("classification")
class Classification(ReadyTask):
    """Which class the input is. Logits ``[N, classes]``, labels int ``[N]``.

    Metrics: ``accuracy`` (top-1, percent), primary. With `positive` also ``f1``, the F1 score of that class in percent,
    which then is primary: attributes like CelebA's are rare, and accuracy rewards never seeing them.

    Args:
        classes: Number of classes, at least 2.
        name: Key of the task.
        ignore_index: The label that means "no label".
        positive: The class whose F1 score counts, or None.

    Raises:
        SettingError: When an option is not allowed.

    Examples:
        >>> Classification(100).directions
        {'accuracy': 'higher'}
        >>> Classification(2, name="smiling", positive=1).primary
        'f1'
    """

    def __init__(
        self,
        classes: Annotated[int, Field(ge=2)],
        *,
        name: str = "classification",
        ignore_index: int = -1,
        positive: Annotated[int | None, Field(ge=0)] = None,
    ) -> None:
        self.settings = self.settings_class(classes=classes, name=name, ignore_index=ignore_index, positive=positive)
        if positive is not None and positive >= classes:
            raise SettingError(f"positive is one of the classes 0..{classes - 1}; got {positive}")
        accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=ignore_index, validate_args=False)
        metrics = {"accuracy": Reading(accuracy, "higher", "%", scale=100)}
        if positive is not None:
            f1 = MulticlassF1Score(classes, average=None, ignore_index=ignore_index, validate_args=False)
            metrics["f1"] = Reading(f1, "higher", "%", key=positive, scale=100)
        super().__init__(
            name,
            loss=partial(labelled_cross_entropy, ignore_index=ignore_index),
            metrics=metrics,
            primary="accuracy" if positive is None else "f1",
            labelled=partial(labelled_elements, ignore_index=ignore_index),
            check=partial(check_labels, dims="", classes=classes, ignore_index=ignore_index),
        )
