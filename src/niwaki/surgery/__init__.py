"""The only code that changes layers: it cuts by a plan, proves the cut, and moves optimizer state along."""

from niwaki.surgery.bank_conv import BankConv
from niwaki.surgery.bank_steps import install_banks, materialise
from niwaki.surgery.banks import HeldBank, banks_of
from niwaki.surgery.batchnorm import reestimate_batchnorm
from niwaki.surgery.compressed_rows import CompressedRows, Kernel, pick_kernel
from niwaki.surgery.cutting import classes_removed_by, cut, cut_away
from niwaki.surgery.factored import factor
from niwaki.surgery.graph_model import GraphModel
from niwaki.surgery.literals import LiteralSize, find_literal_sizes
from niwaki.surgery.memory import cuts_among, recall
from niwaki.surgery.optimizer import follow, follow_ema
from niwaki.surgery.permuting import permute_channels
from niwaki.surgery.plan import Plan, plans_of
from niwaki.surgery.replay import replay
from niwaki.surgery.silence import silenced_outputs
from niwaki.surgery.wrappers import recompile, unwrap

__all__ = [
    "BankConv",
    "CompressedRows",
    "GraphModel",
    "HeldBank",
    "Kernel",
    "LiteralSize",
    "Plan",
    "banks_of",
    "classes_removed_by",
    "cut",
    "cut_away",
    "cuts_among",
    "factor",
    "find_literal_sizes",
    "follow",
    "follow_ema",
    "install_banks",
    "materialise",
    "permute_channels",
    "pick_kernel",
    "plans_of",
    "recall",
    "recompile",
    "reestimate_batchnorm",
    "replay",
    "silenced_outputs",
    "unwrap",
]
