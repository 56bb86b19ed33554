"""What a filter is worth to its own network."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from niwaki.errors import ContractError
from niwaki.graph import Program, Traced, arguments_of, operator_name
from niwaki.methods.calibration import Calibration, Gradients

__all__ = ["Importance", "Taylor", "bn_scales", "norm_of"]

Importance = Literal["l1", "l2", "bn_scale", "taylor"]
"""``|X|_1``, ``|X|_2``, ``|gamma|`` of the batch norm behind it, or the squared first-order change of the tasks' losses
without it."""


def norm_of(filters: Tensor, importance: Importance) -> Tensor:
    """Return the norm of each filter.

    Args:
        filters: X, `[N, d]`.
        importance: ``"l1"`` or ``"l2"``.

    Returns:
        `[N]`.

    Examples:
        >>> norm_of(torch.tensor([[3.0, -4.0]]), "l1"), norm_of(torch.tensor([[3.0, -4.0]]), "l2")
        (tensor([7.]), tensor([5.]))
    """
    return filters.abs().sum(1) if importance == "l1" else filters.norm(dim=1)


def bn_scales(model: nn.Module, traced: Traced, modules: Collection[str]) -> dict[str, Tensor]:
    """Return the absolute scales of the batch norms that follow convolutions at once (Liu et al. 2017).

    Args:
        model: The model.
        traced: Its programs.
        modules: Names of the convolutions.

    Returns:
        Module to the scale of each filter.

    Raises:
        ContractError: When no batch norm with a scale follows one of them.
    """
    pairs = dict(pair for program in traced.eval_programs for pair in _normed(program))
    found = {
        module: model.get_parameter(pairs[f"{module}.weight"]).detach().abs().cpu()
        for module in modules
        if f"{module}.weight" in pairs
    }
    missing = [module for module in modules if module not in found]
    if missing:
        raise ContractError(
            f"no batch norm with a scale follows {', '.join(missing)}: importance='bn_scale' can't judge them; "
            "leave them out by `scope`, or take 'l1' or 'taylor'"
        )
    return found


def _normed(program: Program) -> Iterator[tuple[str, str]]:
    """Yield each weight whose layer a batch norm follows at once, with the norm's scale."""
    for node in program:
        if operator_name(node) != "batch_norm":
            continue
        given = arguments_of(node)
        scale = _tensor_of(program, given["weight"])
        names = [_tensor_of(program, source) for source in given["input"].all_input_nodes]
        yield from ((name, scale) for name in names if name is not None and scale is not None)


def _tensor_of(program: Program, node: Any) -> str | None:
    return program.tensors.get(node.name) if isinstance(node, fx.Node) else None


class Taylor:
    """Adds up ``(sum of g * w)^2`` over batches and tasks, filter by filter (Molchanov et al. 2019).

    Args:
        parameters: Names of the convolutions' weights.
    """

    def __init__(self, parameters: Sequence[str]) -> None:
        self.parameters = tuple(parameters)
        self.scores: dict[str, Tensor] = {}

    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        """Add one batch."""
        for found in gradients.values():
            for name, gradient in found.items():
                change = (gradient * parameters[name]).flatten(1).sum(1).square().detach().cpu().float()
                self.scores[name] = self.scores[name] + change if name in self.scores else change

    @classmethod
    def of(cls, model: nn.Module, modules: Sequence[str], calibration: Calibration) -> dict[str, Tensor]:
        """Return the worth of each filter of some convolutions, module by module."""
        watcher = cls([f"{module}.weight" for module in modules])
        calibration.show(model, watcher)
        return {
            module: watcher.scores.get(
                f"{module}.weight", torch.zeros(model.get_submodule(module).get_parameter("weight").shape[0])
            )
            for module in modules
        }
