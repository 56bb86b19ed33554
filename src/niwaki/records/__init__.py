"""Plain results and plans: what was planned, what was measured. JSON in, JSON out, no torch."""

from niwaki.records.base import RecordBase
from niwaki.records.cost import Cost, PartCost
from niwaki.records.cut import CutRecord
from niwaki.records.delta import DeltaRecord, delta
from niwaki.records.difference import first_difference
from niwaki.records.environment import Environment
from niwaki.records.folding import FoldedLayer, Folding
from niwaki.records.latency import ROUNDS, Latency, Timing, told_gain
from niwaki.records.plan import ATTENTION, Attention, GroupPlan, Plan, Repair, Rescale, Slice, Unit
from niwaki.records.record import Compression, Quality, Record, told_change
from niwaki.records.sensitivity import GroupSensitivity, Sensitivity
from niwaki.records.sparse_runtime import Gain, LayerGain, SparseRuntimeRecord
from niwaki.records.sparsity import DenseWeights, DensityMoment, SparseLayer, SparseTraining, Sparsity

__all__ = [
    "ATTENTION",
    "ROUNDS",
    "Attention",
    "Compression",
    "Cost",
    "CutRecord",
    "DeltaRecord",
    "DenseWeights",
    "DensityMoment",
    "Environment",
    "FoldedLayer",
    "Folding",
    "Gain",
    "GroupPlan",
    "GroupSensitivity",
    "Latency",
    "LayerGain",
    "PartCost",
    "Plan",
    "Quality",
    "Record",
    "RecordBase",
    "Repair",
    "Rescale",
    "Sensitivity",
    "Slice",
    "SparseLayer",
    "SparseRuntimeRecord",
    "SparseTraining",
    "Sparsity",
    "Timing",
    "Unit",
    "delta",
    "first_difference",
    "told_change",
    "told_gain",
]
