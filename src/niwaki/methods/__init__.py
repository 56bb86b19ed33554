"""Methods that make a model smaller: one protocol, several families, and chains of them."""

from niwaki.methods.base import Method, Run, methods
from niwaki.methods.chain import Chain
from niwaki.methods.expand import DOConv, ExpandNet, Overparam, RepVGG
from niwaki.methods.prune import FPGM, Blend, BNScale, CosPrune, Magnitude, RandomScore, StructuredPruning, Taylor
from niwaki.methods.prune.criteria import criteria
from niwaki.methods.share import FilterSharing
from niwaki.methods.sparse import (
    SNIP,
    AdapMTL,
    DiSparse,
    DynamicSparse,
    GraSP,
    LotteryTicket,
    MagnitudePruning,
    ReweightedL1,
)

__all__ = [
    "FPGM",
    "SNIP",
    "AdapMTL",
    "BNScale",
    "Blend",
    "Chain",
    "CosPrune",
    "DOConv",
    "DiSparse",
    "DynamicSparse",
    "ExpandNet",
    "FilterSharing",
    "GraSP",
    "LotteryTicket",
    "Magnitude",
    "MagnitudePruning",
    "Method",
    "Overparam",
    "RandomScore",
    "RepVGG",
    "ReweightedL1",
    "Run",
    "StructuredPruning",
    "Taylor",
    "criteria",
    "methods",
]
