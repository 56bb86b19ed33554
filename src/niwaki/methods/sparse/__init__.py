"""Sparse networks: few single weights stay, found before, after or while training."""

from niwaki.methods.sparse.allocation import ERK, LAMP, Allocation, Global, Uniform, UniformPlus, allocations
from niwaki.methods.sparse.base import SparseMethod, SparseRun
from niwaki.methods.sparse.dynamic import PRESETS, DynamicSparse
from niwaki.methods.sparse.masks import Masks
from niwaki.methods.sparse.runtime import SparseRuntime, sparse_runtime
from niwaki.methods.sparse.target import Target

__all__ = [
    "ERK",
    "LAMP",
    "PRESETS",
    "Allocation",
    "DynamicSparse",
    "Global",
    "Masks",
    "SparseMethod",
    "SparseRun",
    "SparseRuntime",
    "Target",
    "Uniform",
    "UniformPlus",
    "allocations",
    "sparse_runtime",
]
