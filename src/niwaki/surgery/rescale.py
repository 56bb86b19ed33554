"""Undoing a drifted factor: the same factor, put into the weights that make the tensor it multiplies."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from niwaki.errors import SurgeryError
from niwaki.graph import arguments_of, operator_name
from niwaki.records import Rescale
from niwaki.surgery.drift import Drift
from niwaki.surgery.silence import values_of
from niwaki.surgery.tensors import named_tensors

__all__ = ["apply_rescales", "find_rescales"]

_WEIGHTED = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "batch_norm", "group_norm"), 0),
    **dict.fromkeys(("layer_norm", "rms_norm"), -1),
}
"""Operators whose weight and bias make channels, with the dimension of both that counts them."""

_CHANNELS = {"linear": -1, "layer_norm": -1, "rms_norm": -1, "batch_norm": 1, "group_norm": 1}
"""Dimension of channels of what they return; the dimension behind the batch for convolutions."""

_PASSING = frozenset({
    *("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t"),
    *("select", "slice", "split", "split_with_sizes", "chunk", "unbind", "narrow", "getitem", "expand", "repeat"),
    *("clone", "contiguous", "alias", "detach", "to", "cat", "stack", "roll", "pad", "flip", "index"),
    *("constant_pad_nd", "mul", "div", "add", "sub", "neg", "matmul", "bmm", "mm", "einsum", "movedim", "swapaxes"),
})  # fmt: skip
"""Operators through which a factor may be carried; whether it can is then tried."""


def find_rescales(drifts: Iterable[Drift]) -> list[Rescale]:
    """Find the weights whose multiplication undoes drifted factors.

    The nearest layers before each product are taken, those of their channels that it depends on, and the power of a
    factor on them that arrives; so a product of two tensors made by one layer takes the root.

    Args:
        drifts: The factors that changed.

    Returns:
        What to multiply, each weight once.

    Raises:
        SurgeryError: When a factor can't be put into weights.
    """
    found: dict[tuple[Any, ...], Rescale] = {}
    for drift in drifts:
        for each in _Undoing(drift).rescales():
            found.setdefault((each.tensor, each.dim, each.ranges, round(each.factor, 9)), each)
    return list(found.values())


def apply_rescales(model: nn.Module, rescales: Iterable[Rescale]) -> None:
    """Multiply weights of a model before its cut.

    Args:
        model: A copy of the dense model; changed in place.
        rescales: What to multiply.

    Raises:
        SurgeryError: When the model has no such weights.
    """
    tensors = named_tensors(model)
    with torch.no_grad():
        for each in rescales:
            tensor = tensors.get(each.tensor)
            last = max((stop for _, stop in each.ranges), default=0)
            if tensor is None or each.dim >= tensor.ndim or last > tensor.shape[each.dim]:
                raise SurgeryError(
                    f"the plan multiplies positions up to {last} along dimension {each.dim} of {each.tensor!r}, which "
                    "the model does not have; the plan was made for another model"
                )
            for start, stop in each.ranges:
                tensor.data.narrow(each.dim, start, stop - start).mul_(each.factor)


class _Undoing:
    """One drifted factor, and the part of its program between it and the nearest layers."""

    def __init__(self, drift: Drift) -> None:
        if drift.source is None:
            raise SurgeryError(f"{drift}; it can't be put into weights")
        self._drift = drift
        self._source = drift.source
        self._layers: list[fx.Node] = []
        self._inside: set[fx.Node] = set()
        self._outside: set[fx.Node] = set()
        self._collect([self._source])

    def rescales(self) -> list[Rescale]:
        """Find what to multiply, by trying it on random values."""
        if not self._layers:
            raise SurgeryError(f"{self._drift}; no weights could be multiplied to undo that")
        generator = torch.Generator().manual_seed(0)
        made = {node: torch.randn(node.meta["val"].shape, generator=generator) for node in self._layers}
        leaves = {node: value.requires_grad_() for node, value in made.items()}
        plain = self._run({node: leaf * 1.0 for node, leaf in leaves.items()})
        weights = torch.randn(plain.shape, generator=generator)
        grads = torch.autograd.grad((plain * weights).sum(), list(leaves.values()), allow_unused=True)
        rows = {
            node: _rows(grad, _channel_dim(node))
            for node, grad in zip(leaves, grads, strict=True)
            if grad is not None and grad.abs().max() > 0
        }
        twice = self._run({node: _doubled(made[node].detach(), rows.get(node), _channel_dim(node)) for node in made})
        degree = _degree(plain.detach(), twice)
        if not rows or degree is None:
            raise SurgeryError(f"{self._drift}; no weights could be multiplied to undo that")
        factor = self._drift.ratio ** (1.0 / degree)
        return [each for node, chosen in rows.items() for each in self._of(node, chosen, factor)]

    def _collect(self, todo: list[fx.Node]) -> None:
        while todo:
            node = todo.pop()
            if node in self._inside or node in self._outside or node in self._layers:
                continue
            name = operator_name(node) if node.op == "call_function" else ""
            if name in _WEIGHTED and self._owned(node, "weight"):
                self._layers.append(node)
            elif name in _PASSING:
                self._inside.add(node)
                todo += node.all_input_nodes
            else:
                self._outside.add(node)

    def _owned(self, node: fx.Node, argument: str) -> str | None:
        """Return the name of the parameter that an argument is, if it is one as it stands."""
        given = arguments_of(node).get(argument)
        return self._drift.program.tensors.get(given.name) if isinstance(given, fx.Node) else None

    def _run(self, made: dict[fx.Node, Tensor]) -> Tensor:
        """Compute the multiplied tensor from what the layers are to return."""
        known: dict[fx.Node, Any] = {**made, **self._surroundings()}
        for node in self._drift.program:
            if node in self._inside and node not in known:
                args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
                known[node] = cast("Any", node.target)(*args, **kwargs)
        return cast("Tensor", known[self._source])

    def _surroundings(self) -> dict[fx.Node, Any]:
        if not self._outside:
            return {}
        return values_of(self._drift.program, self._outside)

    def _of(self, node: fx.Node, rows: list[int], factor: float) -> list[Rescale]:
        found = []
        for argument in ("weight", "bias"):
            name = self._owned(node, argument)
            if name is None:
                continue
            rank = arguments_of(node)[argument].meta["val"].ndim
            dim = _WEIGHTED[operator_name(node)] % rank
            found.append(Rescale(tensor=name, dim=dim, ranges=_ranges(rows), factor=factor, reason=str(self._drift)))
        return found


def _channel_dim(node: fx.Node) -> int:
    rank = node.meta["val"].ndim
    if operator_name(node).startswith("conv"):
        return int(rank - arguments_of(node)["weight"].meta["val"].ndim + 1)
    return _CHANNELS[operator_name(node)] % int(rank)


def _rows(grad: Tensor, dim: int) -> list[int]:
    reached = grad.abs().movedim(dim, 0).flatten(1).amax(1) > 0
    return [int(each) for each in reached.nonzero().flatten()]


def _doubled(value: Tensor, rows: list[int] | None, dim: int) -> Tensor:
    if rows is None:
        return value
    scale = torch.ones(value.shape[dim])
    scale[rows] = 2.0
    return value * scale.reshape([-1 if i == dim else 1 for i in range(value.ndim)])


def _degree(plain: Tensor, twice: Tensor) -> int | None:
    for degree in (1, 2):
        if torch.allclose(twice, plain * 2.0**degree, rtol=1e-3, atol=1e-4 * float(plain.abs().max())):
            return degree
    return None


def _ranges(rows: Sequence[int]) -> tuple[tuple[int, int], ...]:
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    return tuple((int(part[0]), int(part[-1]) + 1) for part in np.split(np.asarray(rows), cuts))
