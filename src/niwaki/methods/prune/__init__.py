"""Structured pruning: whole channels go, judged over all tasks; what is left is a plain, smaller module."""

from niwaki.methods.prune.criteria import FPGM, Blend, BNScale, CosPrune, Criterion, Magnitude, RandomScore, Taylor
from niwaki.methods.prune.method import StructuredPruning
from niwaki.methods.prune.planning import plan, prune
from niwaki.methods.prune.sensitivity import sensitivity
from niwaki.methods.prune.settings import PlanOptions, Selection

__all__ = [
    "FPGM",
    "BNScale",
    "Blend",
    "CosPrune",
    "Criterion",
    "Magnitude",
    "PlanOptions",
    "RandomScore",
    "Selection",
    "StructuredPruning",
    "Taylor",
    "plan",
    "prune",
    "sensitivity",
]
