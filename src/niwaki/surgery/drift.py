"""Silent scale drift: factors that Python computes from a size, so that they change with a cut."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import fx, nn

from niwaki.graph import CallWatch, Channels, Program, State, TorchCall, arguments_of, module_of, operator_name
from niwaki.surgery.kept import Kept, Mask, labels_of
from niwaki.surgery.rehearsal import lent, seeded

__all__ = ["Drift", "find_drift"]

_FACTORS = {"mul": 1, "div": -1}
"""Operators that multiply by a factor, with its exponent."""

_KEEPING = frozenset({f"torch.nn.modules.{each}" for each in ("batchnorm", "normalization", "dropout", "activation")})
"""Where layers are written that hand on numbers which were given to them; of activations, attention is left out."""


@dataclass(frozen=True)
class Drift:
    """A factor that a cut changed.

    Attributes:
        program: The program it stands in.
        node: The node it belongs to.
        source: The tensor it multiplies; None where the node is no product by a number.
        ratio: What the tensor must be multiplied by to undo the change.
        text: The change in words.

    Examples:
        >>> graph = fx.Graph()
        >>> node = graph.placeholder("x")
        >>> str(Drift(None, node, node, 0.5, "module 'attention' computes 0.25 from a size, 0.125 before the cut"))
        "module 'attention' computes 0.25 from a size, 0.125 before the cut"
    """

    program: Program
    node: fx.Node | None
    source: fx.Node | None
    ratio: float
    text: str

    def __str__(self) -> str:
        return self.text


def find_drift(dense: nn.Module, small: nn.Module, channels: Channels, removed: Mask) -> list[Drift]:
    """Compare the numbers that a model's code computes before and after a cut.

    Every number that is handed to torch is noted, of the dense model while it was read; the default scale of attention,
    which torch takes from the width of the heads, counts as one. Where only torch's norms, dropouts and activations
    hand over numbers, which they were given, nothing is run.

    Args:
        dense: The model before.
        small: The model after, with tensors cut and attributes repaired.
        channels: The dense model's channel classes.
        removed: By class id, whether the class went.

    Returns:
        Every factor that changed, in the order of the programs; in eval mode, where that can be exported.
    """
    found: list[Drift] = []
    values = dict(zip(channels.traced.programs, channels.values, strict=True))
    for program in channels.traced.eval_programs:
        found += _default_scales(program, values[program], removed)
        if _may_compute(dense, program):
            found += _computed(dense, small, program)
    return found


def _default_scales(program: Program, states: Mapping[str, State], removed: Mask) -> Iterator[Drift]:
    for node in program:
        if node.op != "call_function" or operator_name(node) != "scaled_dot_product_attention":
            continue
        arguments = arguments_of(node)
        query = arguments["query"]
        kept = Kept(labels_of(states.get(query.name), query.meta["val"].ndim), removed)
        if arguments["scale"] is None and kept.touched([-1]):
            old, new = len(kept.stays(-1)), int(kept.stays(-1).sum())
            text = f"{_place(node)} scales attention by 1/sqrt({new}), the width of its heads; by 1/sqrt({old}) before"
            yield Drift(program, node, query, (new / old) ** 0.5, text)


def _may_compute(dense: nn.Module, program: Program) -> bool:
    """Tell whether a number is handed to torch by other code than layers of torch's own that only keep numbers."""
    if not program.calls.calls:
        return True
    keeping = {
        name
        for name, module in dense.named_modules()
        if type(module).__module__ in _KEEPING and not isinstance(module, nn.MultiheadAttention)
    }
    kept = {number for name, number in program.calls.made_by.items() if module_of(program.node(name)) in keeping}
    return any(each.factors and number not in kept for number, each in enumerate(program.calls.calls))


def _computed(dense: nn.Module, small: nn.Module, program: Program) -> Iterator[Drift]:
    known, after = program.calls, _calls(small, program)
    aligned = _functions(known.calls) == _functions(after)
    before = known.calls if aligned else _calls(dense, program)
    if _functions(before) != _functions(after):
        return
    changed = [i for i, pair in enumerate(zip(before, after, strict=True)) if pair[0].factors != pair[1].factors]
    for number in changed:
        nodes = [name for name, made in known.made_by.items() if made == number] if aligned else []
        yield _drift(program, nodes, before[number], after[number])


def _drift(program: Program, nodes: list[str], before: TorchCall, after: TorchCall) -> Drift:
    node = program.node(nodes[-1]) if nodes else None
    pairs = [pair for pair in zip(before.factors, after.factors, strict=False) if pair[0] != pair[1]]
    place = _place(node) if node is not None else "the model's code"
    old, new = pairs[0] if pairs else (0.0, 0.0)
    text = f"{place} computes the number {new:.6g} from a size ({before.function}); it was {old:.6g}"
    power = _FACTORS.get(operator_name(node)) if node is not None and len(pairs) == 1 else None
    if node is None or power is None or not (old and new) or not isinstance(node.args[0], fx.Node):
        return Drift(program, node, None, 1.0, text)
    return Drift(program, node, node.args[0], (old / new) ** power, text)


def _functions(calls: Sequence[TorchCall]) -> list[str]:
    return [each.function for each in calls]


def _calls(model: nn.Module, program: Program) -> list[TorchCall]:
    """Run a copy of a model and return its calls into torch; none where it raises, which the proof tells."""
    watch = CallWatch()
    twin, inputs = lent(model, program).train(program.training), program.example.copied()
    with seeded(twin), watch:
        try:
            inputs.call(twin)
        except Exception:  # noqa: BLE001 - whatever the user's forward raises
            return []
    return watch.calls


def _place(node: fx.Node) -> str:
    owner = module_of(node)
    return f"module {owner!r}" if owner else "the model's own forward"
