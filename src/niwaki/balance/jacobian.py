"""Each task's gradient on the parameters that several tasks reach, and on those that it alone reaches."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from niwaki.balance.surrogate import CARRIER

__all__ = ["TaskGradients", "gradients_of", "leaves_of", "task_gradients"]

Gradients = list[tuple[Tensor, Tensor]]
"""Leaves, each with its gradient."""


@dataclass(frozen=True)
class TaskGradients:
    """The gradients of some losses, taken apart.

    Attributes:
        tasks: The tasks that share a parameter with another one, in the order of the losses: the rows.
        shared: The parameters that two or more tasks reach.
        matrix: The tasks' gradients on them, `[tasks, entries]`; zero where a task does not reach.
        own: The parameters that one task alone reaches, each with its gradient.
    """

    tasks: tuple[str, ...]
    shared: tuple[Tensor, ...]
    matrix: Tensor
    own: tuple[tuple[Tensor, Tensor], ...]

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return a vector `[entries]` as one tensor for each shared parameter, of its shape, type and device."""
        parts = vector.split([each.numel() for each in self.shared])
        return [
            part.view(each.shape).to(each.device, each.dtype) for part, each in zip(parts, self.shared, strict=True)
        ]


def leaves_of(loss: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors whose `.grad` a backward pass of a loss would fill.

    Args:
        loss: Any tensor.

    Returns:
        The leaves of its graph that require a gradient, each once; frozen parameters are none.

    Examples:
        >>> weight, frozen = torch.ones(1, requires_grad=True), torch.ones(1)
        >>> [each is weight for each in leaves_of((weight * frozen + weight).sum())]
        [True]
        >>> leaves_of(frozen)
        ()
    """
    found: dict[int, Tensor] = {}
    for node in _nodes(loss):
        if node.name() == "torch::autograd::AccumulateGrad":
            leaf: Tensor = node.variable  # type: ignore[attr-defined]  # torch's stub lacks it
            found[id(leaf)] = leaf
    return tuple(found.values())


def task_gradients(losses: Mapping[str, Tensor]) -> TaskGradients:
    """Return each task's own gradient; one backward pass for each task, and no `.grad` is touched.

    The tasks may have one graph, as many graphs as tasks, or anything between: what counts is which parameters a
    task's loss reaches. Some graphs don't tell, and their gradients do; see `gradients_of`. The graphs are kept.

    Args:
        losses: Task name to its loss, one number each.

    Returns:
        The gradients, on shared parameters and on others.

    Examples:
        >>> trunk, head = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
        >>> found = task_gradients({"a": trunk * head, "b": trunk**2})
        >>> found.tasks, found.matrix.tolist(), [grad.item() for _, grad in found.own]
        (('a', 'b'), [[3.0], [4.0]], [2.0])
    """
    reached = {task: leaves_of(loss) for task, loss in losses.items()}
    held: dict[str, Gradients] = {}
    if any(_tells_too_much(loss) for loss in losses.values()):
        held = {task: gradients_of(losses[task], leaves) for task, leaves in reached.items()}
        reached = {task: tuple(leaf for leaf, _ in pairs) for task, pairs in held.items()}
    every = {id(leaf): leaf for leaves in reached.values() for leaf in leaves}
    count = Counter(id(leaf) for leaves in reached.values() for leaf in leaves)
    shared = [leaf for leaf in every.values() if count[id(leaf)] > 1]
    tasks = [task for task, leaves in reached.items() if any(count[id(leaf)] > 1 for leaf in leaves)]
    columns, matrix = _room(shared, len(tasks))
    own: Gradients = []
    for task, leaves in reached.items():
        for leaf, gradient in held.pop(task) if task in held else gradients_of(losses[task], leaves):
            if id(leaf) in columns:
                matrix[tasks.index(task), columns[id(leaf)]] = gradient.reshape(-1).to(matrix)
            else:
                own.append((leaf, gradient))
    return TaskGradients(tuple(tasks), tuple(shared), matrix, tuple(own))


def gradients_of(loss: Tensor, leaves: Sequence[Tensor]) -> Gradients:
    """Return those of some leaves that a loss reaches, each with its gradient; one backward pass, the graph is kept.

    A graph of `torch.compile` doesn't tell which these are; there, leaves whose gradient is zero count as not reached.

    Args:
        loss: One number.
        leaves: Some of its `leaves_of`.

    Returns:
        Pairs of a leaf and its gradient, dense and detached.

    Examples:
        >>> leaf, other = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
        >>> [(each is leaf, gradient.item()) for each, gradient in gradients_of(leaf**2, [leaf, other])]
        [(True, 4.0)]
    """
    if not leaves:
        return []
    found = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
    some = cast("Sequence[Tensor | None]", found)  # torch's stub knows of no unused leaves
    pairs = ((leaf, each.detach()) for leaf, each in zip(leaves, some, strict=True) if each is not None)
    dense = [(leaf, each if each.layout is torch.strided else each.to_dense()) for leaf, each in pairs]
    return [(leaf, each) for leaf, each in dense if each.any()] if _is_compiled(loss) else dense


def _nodes(loss: Tensor) -> Iterator[Node]:
    """Walk a tensor's graph, each node once, in an order that every process repeats."""
    if not loss.requires_grad:
        return
    waiting: list[Node] = [get_gradient_edge(loss).node]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for after, _ in node.next_functions:
            if after is not None and after not in seen:
                seen.add(after)
                waiting.append(after)


def _is_compiled(loss: Tensor) -> bool:
    return any(node.name().startswith("CompiledFunction") for node in _nodes(loss))


def _tells_too_much(loss: Tensor) -> bool:
    """Say whether a loss's graph has leaves that the loss does not depend on."""
    return _is_compiled(loss) or any(node.name().startswith(CARRIER) for node in _nodes(loss))


def _room(shared: Sequence[Tensor], rows: int) -> tuple[dict[int, slice], Tensor]:
    """Return where each parameter's entries stand, and a matrix of zeros in at least float32 for all of them."""
    columns, start = {}, 0
    kind = torch.float32
    for leaf in shared:
        columns[id(leaf)] = slice(start, start + leaf.numel())
        start += leaf.numel()
        kind = torch.promote_types(kind, leaf.dtype)
    device = shared[0].device if shared else torch.device("cpu")
    return columns, torch.zeros(rows, start, dtype=kind, device=device)
