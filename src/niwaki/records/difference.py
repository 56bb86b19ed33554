"""Where two pieces of plain data differ first."""

from collections.abc import Mapping
from typing import Any

__all__ = ["first_difference"]


def first_difference(first: Any, second: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Find the first difference of two pieces of plain data, such as settings of a run and of its resumption.

    Args:
        first: Nested mappings of plain data, in whose order is searched.
        second: The same; a key that one side lacks counts as None.
        place: Where both stand, for the answer.

    Returns:
        The place, such as ``"training.lr"``, and both values there; None where all is equal. Lists are compared whole.

    Examples:
        >>> first_difference({"seed": 0, "training": {"lr": 0.1}}, {"training": {"lr": 0.2}, "seed": 0})
        ('training.lr', 0.1, 0.2)
    """
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return None if first == second else (place, first, second)
    for key in dict.fromkeys([*first, *second]):
        inner = f"{place}.{key}" if place else str(key)
        found = first_difference(first.get(key), second.get(key), inner)
        if found is not None:
            return found
    return None
