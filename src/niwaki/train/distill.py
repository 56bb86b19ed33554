"""Learning from the dense parent: distances between a student's and its teacher's answers."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from niwaki.errors import ContractError
from niwaki.train.settings import Distillation

__all__ = ["Teacher", "continuous_distance", "soft_class_distance"]


def soft_class_distance(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return ``T^2 KL(softmax(teacher / T) || softmax(student / T))``, the mean over samples and positions.

    Hinton, Vinyals, Dean, arXiv 1503.02531, section 2.

    Args:
        student: Class scores, `[batch, classes, ...]`.
        teacher: Class scores of the same shape.
        temperature: T, above 0.

    Returns:
        A scalar, at least 0.

    Examples:
        >>> import torch
        >>> scores = torch.tensor([[0.0, 2.0]])
        >>> soft_class_distance(scores, scores, 2.0).item()
        0.0
    """
    log_p = F.log_softmax(teacher.float() / temperature, dim=1)
    log_q = F.log_softmax(student.float() / temperature, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean() * temperature**2


def continuous_distance(student: Tensor, teacher: Tensor, kind: str) -> Tensor:
    """Return the mean absolute (``"l1"``) or squared (``"l2"``) difference.

    Args:
        student: Any shape.
        teacher: The same shape.
        kind: ``"l1"`` or ``"l2"``.

    Returns:
        A scalar.

    Examples:
        >>> import torch
        >>> continuous_distance(torch.zeros(4), torch.full((4,), 3.0), "l2").item()
        9.0
    """
    difference = student.float() - teacher.float()
    return difference.abs().mean() if kind == "l1" else difference.square().mean()


class Teacher:
    """A frozen model whose answers are targets beside the labels.

    A task whose targets are class indices (integers) is compared by softened classes, any other by difference.

    Args:
        forward: Runs the teacher without gradients.
        distillation: Weights, temperature and distance.

    Examples:
        >>> import torch
        >>> teacher = Teacher(torch.nn.Identity(), Distillation(weight=0.5))
        >>> ours, theirs = {"depth": torch.zeros(2)}, {"depth": torch.ones(2)}
        >>> teacher.distances(ours, theirs, {"depth": torch.zeros(2)})["depth"].item()
        0.5
    """

    def __init__(self, forward: Callable[..., Any], distillation: Distillation) -> None:
        self.forward = forward
        self.distillation = distillation
        self._classes: dict[str, bool] = {}

    def distances(
        self, student: dict[str, Tensor], teacher: dict[str, Tensor], targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return each task's weighted distance.

        Args:
            student: The student's answers.
            teacher: The teacher's.
            targets: The batch's targets, which tell the kind of a task when it is first seen.

        Returns:
            Task to weighted distance, for every task with a weight whose kind is known.

        Raises:
            ContractError: When the two models answer in different shapes, or the teacher not at all.
        """
        for task, target in targets.items():
            if isinstance(target, Tensor):
                self._classes.setdefault(task, not target.is_floating_point())
        found = {}
        for task, ours in student.items():
            weight = self.distillation.of(task)
            if weight and task in self._classes:
                found[task] = weight * self._distance(task, ours, _answer_of(teacher, task))
        return found

    def state(self) -> dict[str, bool]:
        """Return the kinds of the tasks seen so far, as plain data: task to whether its targets are class indices."""
        return dict(self._classes)

    def load_state(self, state: Mapping[str, bool]) -> None:
        """Take over what `state` returned."""
        self._classes = dict(state)

    def _distance(self, task: str, ours: Tensor, theirs: Tensor) -> Tensor:
        if ours.shape != theirs.shape:
            raise ContractError(
                f"{task}: the teacher answers {list(theirs.shape)} and the student {list(ours.shape)}; "
                f"leave the task out of `distill` or give a teacher with the same outputs"
            )
        if self._classes[task] and ours.dim() > 1 and ours.shape[1] > 1:
            return soft_class_distance(ours, theirs, self.distillation.temperature)
        return continuous_distance(ours, theirs, self.distillation.regression)


def _answer_of(teacher: Mapping[str, Tensor], task: str) -> Tensor:
    if task not in teacher:
        raise ContractError(
            f"{task}: the teacher answers {', '.join(teacher) or 'nothing'}; leave the task out of `distill` or give a "
            "teacher that answers it"
        )
    return teacher[task]
