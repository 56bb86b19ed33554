"""Integer attributes that reached a size argument: found by watching, solved for, and set."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from torch import Tensor, fx, nn

from niwaki.errors import SurgeryError
from niwaki.graph import (
    Attribute,
    Calls,
    Channels,
    Expression,
    OriginInt,
    Program,
    State,
    TorchCall,
    attributes_in,
    evaluate,
    integer_attributes,
    module_of,
    operator_name,
)
from niwaki.records import Repair
from niwaki.surgery.fields import has_fields
from niwaki.surgery.kept import Kept, Mask, labels_of
from niwaki.surgery.sizes import SizeArgument, size_arguments

__all__ = ["apply_repairs", "find_repairs", "resized_nodes", "solve"]

Demand = tuple[Expression, int]
"""How an integer was computed, and what it must be after the cut."""

_COUNTS = ("head", "group", "num", "depth", "stride", "kernel", "window", "repeat", "factor", "scale")
"""Parts of names of attributes that count or scale, and are changed only when nothing else would do."""


_LAYERS = frozenset(
    {"layer_norm", "rms_norm", "group_norm"} | {f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)}
)
"""Operators of torch's own layers that take a size."""


def find_repairs(model: nn.Module, channels: Channels, removed: Mask) -> list[Repair]:
    """Find the integer attributes that must change with a cut, and their new values.

    Args:
        model: The dense model.
        channels: Its channel classes.
        removed: By class id, whether the class goes.

    Returns:
        One repair for each attribute. An attribute that no single value serves is left out: the proof sees it.
    """
    demands: list[Demand] = []
    found = {(each.module, each.attribute): each for each in _heads(model, channels, removed)}
    for program, states in zip(channels.traced.programs, channels.values, strict=True):
        found.update({(each.module, each.attribute): each for each in _norms(model, program, states, removed)})
        nodes = resized_nodes(model, program, states, removed)
        if nodes:
            demands += _demands(nodes, program.calls)
    values = {attribute: value for _, attribute, value in integer_attributes(model)}
    changed = {key: new for key, new in solve(demands, values).items() if new != values[key]}
    for key in changed:
        found.setdefault((key.module, key.name), _repair(model, key, changed))
    return list(found.values())


def resized_nodes(
    model: nn.Module, program: Program, states: Mapping[str, State], removed: Mask
) -> dict[fx.Node, list[SizeArgument]]:
    """Return the nodes of a program whose integer arguments a cut changes, and not a layer's own rule.

    Args:
        model: The dense model.
        program: One program.
        states: The labels of its values.
        removed: By class id, whether the class goes.

    Returns:
        Node to all its integer arguments, changed or not.
    """
    found: dict[fx.Node, list[SizeArgument]] = {}
    for node in program:
        arguments = size_arguments(node, states, removed) if node.op == "call_function" else []
        if any(each.old != each.new for each in arguments) and not _ruled(model, node):
            found[node] = arguments
    return found


def _ruled(model: nn.Module, node: fx.Node) -> bool:
    """Tell whether a node's sizes are fields of one of torch's own layers, which follow from its tensors."""
    owner = module_of(node)
    if owner is None:
        return False
    module = model.get_submodule(owner)
    return isinstance(module, nn.MultiheadAttention) or (operator_name(node) in _LAYERS and has_fields(module))


def apply_repairs(model: nn.Module, repairs: Iterable[Repair]) -> None:
    """Set integer attributes to what they must be after a cut.

    Args:
        model: The model, changed in place.
        repairs: The attributes with their old and new values.

    Raises:
        SurgeryError: When an attribute is missing or has another value than the repair says.
    """
    for repair in repairs:
        try:
            module = model.get_submodule(repair.module)
        except AttributeError:
            raise SurgeryError(f"the plan repairs {repair.module!r}, a module the model does not have") from None
        current = vars(module).get(repair.attribute)
        plain = tuple(current) if isinstance(current, tuple | list) else current
        if plain == repair.new:
            continue  # a layer's own field, set from its tensors
        if plain != repair.old:
            raise SurgeryError(
                f"the plan changes {repair.module}.{repair.attribute} from {repair.old} to {repair.new}, but it is "
                f"{plain}; the plan was made for another model"
            )
        sequence = isinstance(current, tuple | list)
        module.__dict__[repair.attribute] = type(current)(repair.new) if sequence else repair.new  # type: ignore[misc]  # a tuple or list


def solve(demands: Iterable[Demand], values: Mapping[Attribute, int]) -> dict[Attribute, int]:
    """Find values of attributes that meet the demands, changing as few as possible.

    Attributes that stand alone are set first, whether they change or not; then each product, sum or quotient that does
    not yet come out right is met by one of its other attributes, sizes before counts.

    Args:
        demands: Expressions with the values they must have.
        values: What the attributes are.

    Returns:
        The attributes that the demands determine, with their values.

    Examples:
        >>> width, heads = Attribute("", "width"), Attribute("", "heads")
        >>> solve([(heads, 4), (("//", width, heads), 6)], {width: 32, heads: 4})[width]
        24
    """
    demands = list(demands)
    known: dict[Attribute, int] = {}
    for expression, new in demands:
        if isinstance(expression, Attribute):
            known.setdefault(expression, new)
    for expression, new in demands:
        if evaluate(expression, {**values, **known}) == new:
            continue
        free = sorted(attributes_in(expression) - known.keys(), key=lambda each: (_counts(each), -values[each], each))
        for attribute in free:
            fitting = _fit(expression, new, attribute, {**values, **known})
            if fitting is not None:
                known[attribute] = fitting
                break
    return known


def _fit(expression: Expression, new: int, attribute: Attribute, values: Mapping[Attribute, int]) -> int | None:
    tried = range(1, 2 * max(values[attribute], new) + 1)
    return next((each for each in tried if evaluate(expression, {**values, attribute: each}) == new), None)


def _counts(attribute: Attribute) -> bool:
    return any(word in attribute.name.lower() for word in _COUNTS)


def _demands(nodes: Mapping[fx.Node, list[SizeArgument]], calls: Calls) -> Iterator[Demand]:
    for node, arguments in nodes.items():
        number = calls.made_by.get(node.name)
        if number is not None:
            yield from _matched(arguments, calls.calls[number])


def _matched(arguments: list[SizeArgument], call: TorchCall) -> Iterator[Demand]:
    """Pair a node's integers with those of the call: one to one where the lists agree, else by value."""
    if [each.old for each in arguments] == list(call.integers):
        pairs = list(zip(arguments, call.integers, strict=True))
    else:
        changed = [each for each in arguments if each.old != each.new]
        pairs = [(each, number) for each in changed for number in call.integers if number == each.old]
    for argument, number in pairs:
        if isinstance(number, OriginInt) and argument.new is not None:
            yield number.origin, argument.new


def _repair(model: nn.Module, key: Attribute, changed: Mapping[Attribute, int]) -> Repair:
    old = vars(model.get_submodule(key.module))[key.name]
    if key.index is None:
        return Repair(module=key.module, attribute=key.name, old=old, new=changed[key])
    new = tuple(changed.get(Attribute(key.module, key.name, i), value) for i, value in enumerate(old))
    return Repair(module=key.module, attribute=key.name, old=tuple(old), new=new)


def _heads(model: nn.Module, channels: Channels, removed: Mask) -> Iterator[Repair]:
    """Repair the number of heads of torch's own attention where whole heads go: each keeps its width."""
    attentions = model.named_modules() if channels.attention == "heads" else ()
    for name, module in attentions:
        if not isinstance(module, nn.MultiheadAttention):
            continue
        weight = "in_proj_weight" if module.in_proj_weight is not None else "q_proj_weight"
        rows = channels.tensors[channels.traced.names[f"{name}.{weight}" if name else weight]][0]
        if rows is not None:
            kept = int((~removed[rows[: module.embed_dim]]).sum())
            yield Repair(module=name, attribute="num_heads", old=module.num_heads, new=kept // module.head_dim)


def _norms(model: nn.Module, program: Program, states: Mapping[str, State], removed: Mask) -> Iterator[Repair]:
    """Repair the channel count of norms that hold no tensor to read it from."""
    for node in program:
        if node.op != "call_function" or operator_name(node) not in {
            "instance_norm",
            "batch_norm",
            "group_norm",
        }:
            continue
        source = cast("fx.Node", node.args[0])
        kept = Kept(labels_of(states.get(source.name), cast("Tensor", source.meta["val"]).ndim), removed)
        owner = module_of(node)
        if not kept.touched([1]) or owner is None:
            continue
        module = model.get_submodule(owner)
        size = len(kept.stays(1))
        for name in ("num_features", "num_channels"):
            if vars(module).get(name) == size and not has_fields(module):
                yield Repair(module=owner, attribute=name, old=size, new=int(kept.stays(1).sum()))
