"""The table of rules: operator name to the function that carries labels through it."""

from collections.abc import Callable
from typing import Any

import torch

from niwaki.graph.call import Call, Dims

__all__ = ["RULES", "Result", "Rule", "find_rule", "rule"]

Result = Dims | list[None] | list[Dims] | None
Rule = Callable[[Call], Result]

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a function for operators, by their ATen names without overload and trailing underscore.

    A rule returns the labels of the result, a list of them for several results, or None when the operator is used in
    a way it does not cover; that freezes what the node reads, like an unknown operator.
    """

    def enter(function: Rule) -> Rule:
        for name in names:
            assert name not in RULES, f"two rules for {name}"
            RULES[name] = function
        return function

    return enter


def find_rule(name: str, target: Any, pointwise: Rule) -> Rule | None:
    """Return the rule of an operator, ``pointwise`` for those torch tags so, or None.

    Args:
        name: Plain ATen name.
        target: The operator's overload, which carries the tags.
        pointwise: The rule of elementwise operators.
    """
    found = RULES.get(name)
    if found is not None:
        return found
    tags = [*getattr(target, "tags", ())]
    packet = getattr(torch.ops.aten, name, None)
    for overload in packet.overloads() if packet is not None else ():
        tags += getattr(packet, overload).tags
    return pointwise if torch.Tag.pointwise in tags else None
