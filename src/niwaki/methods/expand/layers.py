"""Which layers of a model are expanded, which tasks learn from each, and why the others stay plain."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from niwaki.balance.jacobian import leaves_of
from niwaki.contract import Named, as_examples, name_outputs, task_names
from niwaki.errors import ContractError
from niwaki.modules import device_of, evaluating, kept_parameters
from niwaki.surgery.layout import Layout

__all__ = ["Candidate", "Reach", "candidates", "reach_of"]

Reach = Mapping[str, frozenset[str]]
"""Task to the names of the parameters that its answer depends on and learns."""


@dataclass(frozen=True)
class Candidate:
    """A layer with a weight that can be expanded.

    Attributes:
        name: Name of the layer; empty for the model itself.
        layer: The layer.
        layout: Its weight as matrices.
        tasks: The tasks whose loss reaches its weight, in the order of the tasks.
    """

    name: str
    layer: nn.Module
    layout: Layout
    tasks: tuple[str, ...]

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution with a kernel larger than one, and not transposed."""
        return isinstance(self.layer, _ConvNd) and not self.transposed and max(self.layout.taps) > 1

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return isinstance(self.layer, _ConvTransposeNd)


def reach_of(model: nn.Module, example: Any, tasks: Sequence[Named] | None) -> Reach:
    """Find which parameters each task learns, from the graph that autograd keeps of one forward pass.

    Args:
        model: The model, unwrapped; it is left as it is.
        example: As for `niwaki.methods.Method.start`.
        tasks: The tasks, or None for the outputs' own names.

    Returns:
        One set for each task, in order.

    Raises:
        ContractError: When a task has no output.
    """
    parameters = {id(each): name for name, each in model.named_parameters()}
    found: dict[str, set[str]] = {}
    device = device_of(model)
    cuda = [device] if device.type == "cuda" else []
    with evaluating(model), torch.enable_grad(), torch.random.fork_rng(devices=cuda):
        for task, answer in _answers(model, example, task_names(tasks)):
            leaves = (parameters.get(id(leaf)) for leaf in leaves_of(answer))
            found.setdefault(task, set()).update(name for name in leaves if name is not None)
    names = task_names(tasks) or list(found)
    missing = [task for task in names if task not in found]
    if missing:
        raise ContractError(
            f"the model answers no {', '.join(missing)} on the example; give one input for each path through it"
        )
    return {task: frozenset(found[task]) for task in names}


def candidates(model: nn.Module, reach: Reach, keep: Sequence[str] = ()) -> tuple[list[Candidate], dict[str, str]]:
    """List the layers whose weight can be expanded.

    Args:
        model: The model, unwrapped.
        reach: As `reach_of` returned it.
        keep: Names or patterns of modules that stay plain.

    Returns:
        The layers, and for every other convolution and linear layer the reason why it stays plain.

    Raises:
        ContractError: When a name in ``keep`` fits nothing.
    """
    kept = set(kept_parameters(model, keep))
    holders: dict[int, int] = {}
    for _, each in model.named_parameters(remove_duplicate=False):
        holders[id(each)] = holders.get(id(each), 0) + 1
    found, plain = [], {}
    for name, layer in model.named_modules():
        if not isinstance(layer, _ConvNd | nn.Linear):
            continue
        weight = f"{name}.weight" if name else "weight"
        tasks = tuple(task for task, names in reach.items() if weight in names)
        reason = _why_not(layer, weight in kept, holders)
        if reason is None and not tasks:
            reason = "no task's loss reaches it"
        if reason is None:
            found.append(Candidate(name, layer, Layout.of(layer), tasks))
        else:
            plain[name] = reason
    return found, plain


def _answers(model: nn.Module, example: Any, names: list[str] | None) -> Iterator[tuple[str, Tensor]]:
    """Yield each task's answers on each path through the model."""
    device = device_of(model)
    paths = [path.map(lambda each: each.to(device)) for path in as_examples(example)]
    for number, path in enumerate(paths):
        own = names if names is None or len(paths) == 1 else names[number : number + 1]
        for task, answer in name_outputs(path.call(model), own).items():
            if isinstance(answer, Tensor):
                yield task, answer


def _why_not(layer: nn.Module, is_kept: bool, holders: Mapping[int, int]) -> str | None:  # noqa: FBT001 - one fact
    weight = layer.weight
    if is_kept:
        return "kept"
    if parametrize.is_parametrized(layer) or not isinstance(weight, nn.Parameter):
        return "its weight is computed already"
    if not weight.requires_grad:
        return "frozen"
    if holders[id(weight)] > 1:
        return "another layer holds its weight too"
    return None if weight.dtype in {torch.float32, torch.float64} else f"its weight is {weight.dtype}"
