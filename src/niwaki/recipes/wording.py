"""Answers in words, for tasks that have no picture."""

from collections.abc import Sequence

from torch import Tensor

from niwaki.tasks import Classification, Task

__all__ = ["Worded", "in_words"]

Worded = tuple[str, float | None]
"""What is answered, and how sure the model is of it, from 0 to 1; a truth is None."""


def in_words(task: Task, value: Tensor, classes: Sequence[str] = ()) -> Worded | None:
    """Say what one sample's prediction or target means.

    Args:
        task: The task.
        value: Of a classification, scores ``[classes]`` or the true class, a whole number.
        classes: Names of the classes; their numbers stand for them where there are none.

    Returns:
        The class and the share of the softmax it has; None for a task that is no classification, or without a label.

    Examples:
        >>> import torch
        >>> in_words(Classification(2), torch.tensor([0.0, 0.0]), ["cat", "dog"])
        ('cat', 0.5)
        >>> in_words(Classification(2), torch.tensor(1))
        ('1', None)
    """
    if not isinstance(task, Classification):
        return None
    if value.ndim == 0:
        if not task.has_labels(value[None]):
            return None
        number, share = int(value), None
    else:
        number = int(value.argmax())
        share = float(value.float().softmax(-1)[number])
    return (classes[number] if classes else str(number)), share
