"""Methods that make a model smaller: one protocol, several families, and chains of them."""

from niwaki.methods.base import Method, Run, methods
from niwaki.methods.chain import Chain
from niwaki.methods.prune import Magnitude, RandomScore, StructuredPruning
from niwaki.methods.prune.criteria import criteria

__all__ = [
    "Chain",
    "Magnitude",
    "Method",
    "RandomScore",
    "Run",
    "StructuredPruning",
    "criteria",
    "methods",
]
