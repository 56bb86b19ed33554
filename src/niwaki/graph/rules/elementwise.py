"""Elementwise operators and those that keep the state of what they read."""

from collections.abc import Sequence

from niwaki.graph.call import Call, Dims
from niwaki.graph.edges import Edges
from niwaki.graph.rules.table import Result, rule

__all__ = ["broadcast", "elementwise", "same_state"]


def broadcast(edges: Edges, operands: Sequence[tuple[Dims, tuple[int, ...]]], out: tuple[int, ...]) -> Dims:
    """Align operands right and join, in each dimension, those that have the result's size.

    Args:
        edges: Where the demands go.
        operands: Labels and shape of each operand.
        out: Shape of the result.

    Returns:
        Labels of the result. Size 1 binds nothing; a frozen operand freezes the others.
    """
    result: Dims = []
    for back in range(len(out), 0, -1):
        size = out[-back]
        bound = [dims[-back] for dims, shape in operands if len(shape) >= back and shape[-back] == size != 1]
        label = bound[0] if bound else None
        for other in bound[1:]:
            label = edges.unify(label, other)
        result.append(label)
    return result


@rule(
    "copy", "where", "masked_fill", "_prelu_kernel", "relu6", "selu", "mish", "silu", "celu", "rrelu", "threshold",
    "hardswish", "log_sigmoid", "floor_divide", "absolute", "negative", "isclose", "multiply", "divide", "subtract",
    "greater", "less", "not_equal", "greater_equal", "less_equal", "__and__", "__or__", "complex", "polar",
)  # fmt: skip
def elementwise(call: Call) -> Result:
    """Join all operands, aligned right; several results are not covered."""
    if call.many:
        return None
    return broadcast(call.edges, [(call.labels(node), call.shape(node)) for node in call.tensors], call.out)


@rule(
    "clone", "contiguous", "alias", "detach", "to", "_to_copy", "type_as", "lift_fresh", "lift_fresh_copy",
    "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "bernoulli", "requires_grad",
    "softmax", "log_softmax", "_softmax", "_log_softmax", "fill", "zero", "tril", "triu", "uniform", "normal",
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "nan_to_num", "clip",
    "resolve_conj", "resolve_neg", "_conj", "conj", "real", "imag", "pin_memory", "cpu", "cuda", "_safe_softmax",
)  # fmt: skip
def same_state(call: Call) -> Result:
    """Keep the labels of the first tensor; a form that reads none, such as of ``normal``, is not covered."""
    return call.labels(call.main) if call.tensors and call.shape(call.main) == call.out else None


@rule("view_as_real")
def pairs_apart(call: Call) -> Result:
    """A complex number becomes two real ones along a new last dimension."""
    return [*call.labels(call.main), None]


@rule("view_as_complex")
def pairs_together(call: Call) -> Result:
    """The last dimension, of real and imaginary part, goes."""
    dims = call.labels(call.main)
    call.freeze(dims[-1:])
    return dims[:-1]


@rule("native_dropout")
def with_mask(call: Call) -> Result:
    """Give both results the labels of the first tensor."""
    return [call.labels(call.main), call.labels(call.main)]


@rule("prelu")
def prelu(call: Call) -> Result:
    """Join the channels with one slope for each."""
    dims = call.labels("self")
    if call.shape("weight") not in {(), (1,)} and len(dims) > 1:
        dims[1] = call.edges.unify(dims[1], call.labels("weight")[0])
    return dims
