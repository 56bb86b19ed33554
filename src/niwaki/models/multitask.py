"""One encoder, a head for each task: the frame of every ready network, and of the user's own parts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from niwaki.errors import ContractError
from niwaki.models.blocks import resize_like
from niwaki.models.naming import check_name

__all__ = ["MultiTaskNet"]


class MultiTaskNet(nn.Module):
    """Runs an encoder once and every head on what it returned.

    Args:
        encoder: Any module. What it returns (a tensor, dict, list or tuple) is passed on to every head as it is.
        heads: Task name to module. Two tasks may share one module.
        resize: Whether a head's map `[N, C, h, w]` is resized bilinearly to the height and width of the input.

    Raises:
        ContractError: When there is no head, or a task's name can't name a submodule.

    Examples:
        >>> import torch
        >>> net = MultiTaskNet(nn.Conv2d(3, 8, 3, 2), {"depth": nn.Conv2d(8, 1, 1)}, resize=True)
        >>> net(torch.zeros(2, 3, 16, 24))["depth"].shape
        torch.Size([2, 1, 16, 24])
    """

    def __init__(
        self, encoder: nn.Module, heads: Mapping[str, nn.Module] | nn.ModuleDict, *, resize: bool = False
    ) -> None:
        super().__init__()
        if not heads:
            raise ContractError("MultiTaskNet needs at least one head; give heads={'depth': module, ...}")
        for task, head in heads.items():
            _check_head(task, head)
        self.encoder = encoder
        self.heads = nn.ModuleDict(dict(heads))
        self.resize = resize

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in the order of the heads."""
        return tuple(self.heads)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Answer every task.

        Args:
            x: What the encoder takes, `[N, ...]`.

        Returns:
            Task name to that head's answer.

        Raises:
            ContractError: When a head returns something other than a tensor with the input's batch size.
        """
        features = self.encoder(x)
        return {task: self._answer(task, head(features), x) for task, head in self.heads.items()}

    def _answer(self, task: str, answer: Any, x: Tensor) -> Tensor:
        if not isinstance(answer, Tensor):
            raise ContractError(
                f"the head of task {task!r} returned {type(answer).__name__}; a head returns one tensor"
            )
        if answer.ndim == 0 or answer.shape[0] != x.shape[0]:
            raise ContractError(
                f"the head of task {task!r} returned shape {tuple(answer.shape)} for a batch of {x.shape[0]}; "
                "a head keeps the batch in dimension 0"
            )
        if self.resize and answer.ndim == 4 and answer.shape[-2:] != x.shape[-2:]:
            return resize_like(answer, x)
        return answer


def _check_head(task: object, head: object) -> None:
    if not isinstance(head, nn.Module):
        raise ContractError(f"the head of task {task!r} is a {type(head).__name__}; give an nn.Module")
    check_name(task)
