"""Matrix products: contracted dimensions are joined, the others pass."""

from niwaki.graph.call import Call, Dims
from niwaki.graph.edges import Units
from niwaki.graph.rules.elementwise import broadcast
from niwaki.graph.rules.table import Result, rule

__all__ = [
    "bilinear",
    "einsum",
    "linear",
    "matmul",
    "matmul_added",
    "outer",
    "scaled_dot_product_attention",
    "tensordot",
]


@rule("linear")
def linear(call: Call) -> Result:
    """``x @ weight.T + bias``."""
    data, weight = call.labels("input"), call.labels("weight")
    call.edges.unify(data[-1], weight[-1])
    produced = weight[:-1]
    if call.has("bias") and produced:
        produced = [call.edges.unify(produced[0], call.labels("bias")[0])]
    call.produces("weight", 0)
    return [*data[:-1], *produced]


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(call: Call) -> Result:
    """A product of vectors, matrices or batches of matrices."""
    return _product(call, *call.tensors[:2])


@rule("addmm", "baddbmm", "addbmm", "addmv")
def matmul_added(call: Call) -> Result:
    """A product with a tensor added to it."""
    added, left, right = call.tensors[:3]
    if call.node.target.__name__.startswith("addbmm"):  # type: ignore[union-attr]  # a rule sees operators only
        return None
    product = _product(call, left, right)
    return broadcast(call.edges, [(product, call.out), (call.labels(added), call.shape(added))], call.out)


def _product(call: Call, left_node: object, right_node: object) -> Dims:
    left, right = call.labels(left_node), call.labels(right_node)  # type: ignore[arg-type]  # nodes, as given
    left_shape, right_shape = call.shape(left_node), call.shape(right_node)  # type: ignore[arg-type]  # the same
    call.edges.unify(left[-1], right[-2] if len(right) > 1 else right[-1])
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else []
    rank = max(len(left), len(right)) - 2
    batch = _batch_shape(left_shape[:-2], right_shape[:-2]) if rank > 0 else ()
    ahead = broadcast(call.edges, [(left[:-2], left_shape[:-2]), (right[:-2], right_shape[:-2])], batch)
    return [*ahead, *rows, *columns]


def _batch_shape(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(left), len(right))
    padded = [(1,) * (rank - len(shape)) + shape for shape in (left, right)]
    return tuple(max(pair) for pair in zip(*padded, strict=True))


@rule("einsum")
def einsum(call: Call) -> Result:
    """Join all dimensions that bear one letter."""
    equation = str(call["equation"]).replace(" ", "")
    tensors = list(call["tensors"])
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    plain = "." not in equation and arrow and all(len(set(term)) == len(term) for term in terms)
    if not plain or len(terms) > 2:
        return None
    labels: dict[str, Units | None] = {}
    for term, node in zip(terms, tensors, strict=True):
        sized = zip(term, call.labels(node), call.shape(node), strict=True)
        for letter, units in [(letter, units) for letter, units, size in sized if size != 1]:
            labels[letter] = call.edges.unify(labels[letter], units) if letter in labels else units
    return [labels.get(letter) for letter in output]


@rule("tensordot")
def tensordot(call: Call) -> Result:
    """Contract some dimensions of one tensor with as many of another; the others pass."""
    left, right = call.tensors[:2]
    pairs = [(int(a) % len(call.shape(left)), int(b) % len(call.shape(right))) for a, b in _contracted(call)]
    first, second = call.labels(left), call.labels(right)
    for a, b in pairs:
        call.edges.unify(first[a], second[b])
    kept = [units for dim, units in enumerate(first) if dim not in {a for a, _ in pairs}]
    return [*kept, *(units for dim, units in enumerate(second) if dim not in {b for _, b in pairs})]


def _contracted(call: Call) -> list[tuple[int, int]]:
    return list(zip(call["dims_self"], call["dims_other"], strict=True))


@rule("bilinear")
def bilinear(call: Call) -> Result:
    """Two vectors meet the last dimensions of a weight whose first one is what comes out."""
    first, second, weight = (call.labels(name) for name in ("input1", "input2", "weight"))
    call.edges.unify(first[-1], weight[1])
    call.edges.unify(second[-1], weight[2])
    shapes = [(first[:-1], call.shape("input1")[:-1]), (second[:-1], call.shape("input2")[:-1])]
    made = call.edges.unify(weight[0], call.labels("bias")[0]) if call.has("bias") else weight[0]
    call.produces("weight", 0)
    return [*broadcast(call.edges, shapes, call.out[:-1]), made]


@rule("outer", "ger")
def outer(call: Call) -> Result:
    """Two vectors make a matrix."""
    return [*call.labels(call.tensors[0]), *call.labels(call.tensors[1])]


@rule("scaled_dot_product_attention")
def scaled_dot_product_attention(call: Call) -> Result:
    """Queries meet keys in width, keys meet values in length; the mask is frozen."""
    if call["enable_gqa"]:
        return None
    query, key, value = (call.labels(name) for name in ("query", "key", "value"))
    shapes = [call.shape(name) for name in ("query", "key", "value")]
    if call.has("attn_mask"):
        call.freeze(call.labels("attn_mask"))
        call.freeze([query[-2], key[-2]])
    call.edges.unify(query[-1], key[-1])
    call.edges.unify(key[-2], value[-2])
    leading = [(dims[:-2], shape[:-2]) for dims, shape in zip((query, key, value), shapes, strict=True)]
    return [*broadcast(call.edges, leading, call.out[:-2]), query[-2], value[-1]]
