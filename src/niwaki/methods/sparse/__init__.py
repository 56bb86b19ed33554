"""Sparse networks: few single weights stay, found before, after or while training."""

from niwaki.methods.sparse.adapmtl import AdapMTL
from niwaki.methods.sparse.allocation import ERK, LAMP, Allocation, Global, Uniform, UniformPlus, allocations
from niwaki.methods.sparse.base import SparseMethod, SparseRun
from niwaki.methods.sparse.disparse import DiSparse
from niwaki.methods.sparse.dynamic import PRESETS, DynamicSparse
from niwaki.methods.sparse.grasp import GraSP
from niwaki.methods.sparse.lottery import LotteryTicket
from niwaki.methods.sparse.magnitude import MagnitudePruning
from niwaki.methods.sparse.masks import Masks
from niwaki.methods.sparse.reweighted_l1 import ReweightedL1
from niwaki.methods.sparse.runtime import SparseRuntime, sparse_runtime
from niwaki.methods.sparse.snip import SNIP
from niwaki.methods.sparse.target import Target

__all__ = [
    "ERK",
    "LAMP",
    "PRESETS",
    "SNIP",
    "AdapMTL",
    "Allocation",
    "DiSparse",
    "DynamicSparse",
    "Global",
    "GraSP",
    "LotteryTicket",
    "MagnitudePruning",
    "Masks",
    "ReweightedL1",
    "SparseMethod",
    "SparseRun",
    "SparseRuntime",
    "Target",
    "Uniform",
    "UniformPlus",
    "allocations",
    "sparse_runtime",
]
