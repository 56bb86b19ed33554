"""Operators whose answer depends on channels that were silenced, computed over the channels that stay."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from niwaki.graph import arguments_of
from niwaki.surgery.kept import Kept

__all__ = ["DROPOUTS", "RULES", "Step"]


@dataclass(frozen=True)
class Step:
    """One node about to run, with its values.

    Attributes:
        node: The node.
        args: Its positional arguments, as values.
        kwargs: Its keyword arguments, as values.
        kept: Tells what stays of a node's tensor.
        choose: Takes note of the indices that a pool chose, among what stays.
    """

    node: fx.Node
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    kept: Callable[[fx.Node], Kept]
    choose: Callable[[Tensor], None]

    def named(self) -> dict[str, Any]:
        """Return the values by the names of the operator's schema, with defaults."""
        return arguments_of(self.node, self.args, self.kwargs)

    def source(self, name: str) -> Kept | None:
        """Return what stays of a tensor argument, or None where none was given."""
        node = arguments_of(self.node).get(name)
        return self.kept(node) if isinstance(node, fx.Node) else None

    def call(self, named: dict[str, Any]) -> Any:
        """Run the operator on values by name."""
        arguments = self.node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001 - the only place torch keeps it
        positional = [named[each.name] for each in arguments if not each.kwarg_only]
        keywords = {each.name: named[each.name] for each in arguments if each.kwarg_only}
        return self.node.target(*positional, **keywords)  # type: ignore[operator]  # rules exist for operators only

    def run(self) -> Any:
        """Run the operator as the program has it."""
        return self.node.target(*self.args, **self.kwargs)  # type: ignore[operator]  # rules exist for operators only


def _dims(value: Any) -> list[int] | None:
    """Read a reduction's dimensions; None stands for all."""
    if value is None or (isinstance(value, list | tuple) and not value):
        return None
    return [value] if isinstance(value, int) else list(value)


def _reduce(step: Step) -> Any:
    """Reduce over the kept positions."""
    named, kept = step.named(), step.source("self")
    if kept is None or "other" in named:
        return step.run()
    dims = _dims(named.get("dim"))
    if not kept.touched(dims):
        return step.run()
    return step.call({**named, "self": kept.restrict(named["self"], dims)})


def _softmax(step: Step) -> Any:
    """Normalise over the kept positions; the others are zero."""
    named, kept = step.named(), step.source("self")
    if kept is None or not kept.touched([named["dim"]]):
        return step.run()
    dims = [named["dim"]]
    return kept.scatter(step.call({**named, "self": kept.restrict(named["self"], dims)}), dims)


def _layer_norm(step: Step) -> Any:
    """Normalise over the kept positions of the trailing dimensions."""
    named, kept = step.named(), step.source("input")
    rank = len(named["normalized_shape"])
    dims = range(-rank, 0)
    if kept is None or not kept.touched(dims):
        return step.run()
    part = kept.restrict(named["input"], dims)
    affine = Kept(kept.labels[-rank:], kept.removed)
    cut = {name: affine.restrict(named[name]) for name in ("weight", "bias") if isinstance(named.get(name), Tensor)}
    return kept.scatter(step.call({**named, "input": part, "normalized_shape": list(part.shape[-rank:]), **cut}), dims)


def _batch_norm(step: Step) -> Any:
    """Take statistics over the kept positions of every other dimension, such as those of a standardised weight."""
    named, kept = step.named(), step.source("input")
    dims = [] if kept is None else [dim for dim in range(len(kept.labels)) if dim != 1]
    if kept is None or not named["training"] or not kept.touched(dims):
        return step.run()
    return kept.scatter(step.call({**named, "input": kept.restrict(named["input"], dims)}), dims)


def _group_norm(step: Step) -> Any:
    """Normalise groups of kept channels; groups of one channel go with it."""
    named, kept = step.named(), step.source("input")
    if kept is None or not kept.touched([1]):
        return step.run()
    part = kept.restrict(named["input"], [1])
    single = named["num_groups"] == named["input"].shape[1]
    affine = Kept((kept.labels[1],), kept.removed)
    cut = {name: affine.restrict(named[name]) for name in ("weight", "bias") if isinstance(named.get(name), Tensor)}
    groups = part.shape[1] if single else named["num_groups"]
    return kept.scatter(step.call({**named, "input": part, "num_groups": groups, **cut}), [1])


def _attention(step: Step) -> Any:
    """Attend with the kept width over the kept keys; the scale stays that of the whole width."""
    named = step.named()
    width = named["query"].shape[-1]
    query, key, value = (step.source(name) for name in ("query", "key", "value"))
    if query is None or key is None or value is None:
        return step.run()
    cut = {
        "query": query.restrict(query.silence(named["query"]), [-1]),
        "key": key.restrict(key.silence(named["key"]), [-2, -1]),
        "value": value.restrict(value.silence(named["value"]), [-2]),
        "dropout_p": 0.0,
        "scale": width**-0.5 if named["scale"] is None else named["scale"],
    }
    mask = named.get("attn_mask")
    if isinstance(mask, Tensor) and mask.shape[-1] > 1 and key.touched([-2]):
        cut["attn_mask"] = mask.index_select(-1, torch.from_numpy(key.stays(-2).nonzero()[0]).to(mask.device))
    return step.call({**named, **cut})


def _product(step: Step) -> Any:
    """Multiply and add up with zeros at the removed positions, also where an activation is not zero at zero."""
    values = {id(node): step.kept(node) for node in step.node.all_input_nodes if node.op != "placeholder"}

    def read(source: Any, value: Any) -> Any:
        if isinstance(source, fx.Node):
            kept = values.get(id(source))
            return kept.silence(value) if kept is not None and isinstance(value, Tensor) else value
        if isinstance(source, list | tuple):
            return [read(inner, each) for inner, each in zip(source, value, strict=True)]
        return value

    args = [read(source, value) for source, value in zip(step.node.args, step.args, strict=True)]
    kwargs = {name: read(step.node.kwargs[name], value) for name, value in step.kwargs.items()}
    return step.node.target(*args, **kwargs)  # type: ignore[operator]  # rules exist for operators only


def _pool(step: Step) -> Any:
    """Pool, and note the indices."""
    values, indices = step.run()
    kept = step.source("self")
    step.choose(indices if kept is None else kept.restrict(indices))
    return values, indices


def _identity(step: Step) -> Any:
    """Drop nothing: which entries are dropped is chance, and the sizes differ after a cut."""
    return step.args[0]


def _nothing(_: Step) -> None:
    """Skip a check of types and sizes, which silencing in another floating type would trip."""


DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")

_REDUCTIONS = (
    *(
        "mean",
        "sum",
        "nansum",
        "nanmean",
        "prod",
        "var",
        "std",
        "var_mean",
        "std_mean",
        "amax",
        "amin",
        "aminmax",
        "max",
    ),
    *("min", "median", "logsumexp", "norm", "linalg_vector_norm", "any", "all", "argmax", "argmin", "count_nonzero"),
)
_PRODUCTS = (
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("convolution", "_convolution"),
    *("linear", "matmul", "mm", "bmm", "mv", "dot", "addmm", "addbmm", "baddbmm", "addmv", "einsum", "tensordot"),
    *("bilinear", "cdist", "cosine_similarity"),
)

RULES: dict[str, Callable[[Step], Any]] = {
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys(DROPOUTS, _identity),
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "_log_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("layer_norm", "rms_norm"), _layer_norm),
    **dict.fromkeys(("_assert_tensor_metadata", "_assert_async", "_assert_scalar"), _nothing),
    **dict.fromkeys([f"max_pool{n}d_with_indices" for n in (1, 2, 3)], _pool),
    **dict.fromkeys([f"adaptive_max_pool{n}d" for n in (1, 2, 3)], _pool),
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "scaled_dot_product_attention": _attention,
}
"""Operator to how it is run; every other operator runs as it is."""
