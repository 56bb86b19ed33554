"""One file for each kind of operator; importing this fills the table."""

from niwaki.graph.rules import (
    arrange,
    conv,
    create,
    elementwise,
    index,
    linear,
    norm,
    pieces,
    pool,
    reduce,
    shuffle,
    view,
)
from niwaki.graph.rules.table import RULES, find_rule

__all__ = [
    "RULES",
    "arrange",
    "conv",
    "create",
    "elementwise",
    "find_rule",
    "index",
    "linear",
    "norm",
    "pieces",
    "pool",
    "reduce",
    "shuffle",
    "view",
]
