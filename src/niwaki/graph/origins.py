"""Integers that remember which attribute they came from, through the arithmetic of a forward."""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

__all__ = [
    "Attribute",
    "Expression",
    "OriginInt",
    "SizeOf",
    "attributes_in",
    "evaluate",
    "integer_attributes",
    "mark_attributes",
]


@dataclass(frozen=True, order=True)
class Attribute:
    """An integer attribute of a module, or one entry of a tuple of integers.

    Attributes:
        module: Dotted name of the module, empty for the root.
        name: The attribute.
        index: Place in the tuple, or None.
    """

    module: str
    name: str
    index: int | None = None


@dataclass(frozen=True, order=True)
class SizeOf:
    """The size of a tensor that a forward computed.

    Attributes:
        call: Number of the call into torch that returned the tensor.
        dim: The dimension.
        size: Its size.
    """

    call: int
    dim: int
    size: int


Expression = Attribute | SizeOf | int | tuple[str, "Expression", "Expression"]
"""How an integer was computed: an attribute, a tensor's size, a number, or an operation on two of these."""

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}


_SEQUENCES = (tuple, list, torch.Size)


class OriginInt(int):
    """An integer that knows how it was computed.

    Examples:
        >>> width = OriginInt(8, Attribute("", "width"))
        >>> (2 * width).origin
        ('*', 2, Attribute(module='', name='width', index=None))
    """

    origin: Expression

    def __new__(cls, value: int, origin: Expression) -> Self:
        """Make an integer that remembers its origin."""
        made = super().__new__(cls, value)
        made.origin = origin
        return made

    def __deepcopy__(self, _: dict[int, Any]) -> "OriginInt":
        return self


def _both_ways(symbol: str, apply: Callable[[int, int], int]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(self: OriginInt, other: Any) -> Any:
        return _computed(symbol, apply, self, other)

    def backward(self: OriginInt, other: Any) -> Any:
        return _computed(symbol, apply, other, self)

    return forward, backward


def _computed(symbol: str, apply: Callable[[int, int], int], left: Any, right: Any) -> Any:
    if not (isinstance(left, int) and isinstance(right, int)):
        return NotImplemented
    value = apply(int(left), int(right))
    return OriginInt(value, (symbol, _origin(left), _origin(right)))


def _origin(number: int) -> Expression:
    return number.origin if isinstance(number, OriginInt) else int(number)


for _symbol, _name in (("+", "add"), ("-", "sub"), ("*", "mul"), ("//", "floordiv"), ("%", "mod")):
    _forward, _backward = _both_ways(_symbol, _OPERATIONS[_symbol])
    setattr(OriginInt, f"__{_name}__", _forward)
    setattr(OriginInt, f"__r{_name}__", _backward)


def evaluate(expression: Expression, values: Mapping[Attribute, int]) -> int | None:
    """Compute an expression anew.

    Args:
        expression: How an integer was computed.
        values: What each attribute is now.

    Returns:
        The integer, or None where it divides by zero.
    """
    if isinstance(expression, Attribute):
        return values[expression]
    if isinstance(expression, SizeOf):
        return expression.size
    if isinstance(expression, int):
        return expression
    symbol, left, right = expression
    first, second = evaluate(left, values), evaluate(right, values)
    if first is None or second is None or (symbol in {"//", "%"} and second == 0):
        return None
    return _OPERATIONS[symbol](first, second)


def attributes_in(expression: Expression) -> set[Attribute]:
    """Return the attributes that an expression reads."""
    if isinstance(expression, Attribute):
        return {expression}
    if isinstance(expression, int | SizeOf):
        return set()
    return attributes_in(expression[1]) | attributes_in(expression[2])


def integer_attributes(model: nn.Module) -> Iterator[tuple[nn.Module, Attribute, int]]:
    """Yield every integer attribute of every module, and every entry of a tuple or list of integers.

    Args:
        model: A plain module.

    Yields:
        The module, which attribute, and its value.
    """
    for path, module in model.named_modules():
        for name, value in list(vars(module).items()):
            for index, each in _entries(value):
                yield module, Attribute(path, name, index), each


def _entries(value: Any) -> list[tuple[int | None, int]]:
    if _is_integer(value):
        return [(None, value)]
    if type(value) in _SEQUENCES and all(map(_is_integer, value)):
        return list(enumerate(value))
    return []


def mark_attributes(model: nn.Module) -> None:
    """Replace every integer attribute by one that remembers where it came from.

    Args:
        model: A throw-away copy; changed in place.
    """
    for module, attribute, value in list(integer_attributes(model)):
        marked = OriginInt(value, attribute)
        if attribute.index is None:
            module.__dict__[attribute.name] = marked
            continue
        entries = list(module.__dict__[attribute.name])
        entries[attribute.index] = marked
        module.__dict__[attribute.name] = type(module.__dict__[attribute.name])(entries)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
