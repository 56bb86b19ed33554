"""Niwaki makes multi-task neural networks small and fast without losing any of their tasks.

Every public name can be taken from here; nothing heavy is imported until a name is used.

Examples:
    >>> import niwaki as nw
    >>> nw.Budget(macs=0.5)
    Budget(macs=0.5)
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from niwaki.version import __version__

if TYPE_CHECKING:
    from niwaki.balance import DWA as DWA
    from niwaki.balance import GLS as GLS
    from niwaki.balance import RLW as RLW
    from niwaki.balance import Equal as Equal
    from niwaki.balance import MinMax as MinMax
    from niwaki.balance import Uncertainty as Uncertainty
    from niwaki.balance import as_balancer as as_balancer
    from niwaki.contract import Example as Example
    from niwaki.export import export as export
    from niwaki.files import load as load
    from niwaki.files import save as save
    from niwaki.measure import measure as measure
    from niwaki.methods import FPGM as FPGM
    from niwaki.methods import SNIP as SNIP
    from niwaki.methods import AdapMTL as AdapMTL
    from niwaki.methods import Blend as Blend
    from niwaki.methods import BNScale as BNScale
    from niwaki.methods import Chain as Chain
    from niwaki.methods import CosPrune as CosPrune
    from niwaki.methods import DiSparse as DiSparse
    from niwaki.methods import DOConv as DOConv
    from niwaki.methods import DynamicSparse as DynamicSparse
    from niwaki.methods import ExpandNet as ExpandNet
    from niwaki.methods import FilterSharing as FilterSharing
    from niwaki.methods import GraSP as GraSP
    from niwaki.methods import LotteryTicket as LotteryTicket
    from niwaki.methods import Magnitude as Magnitude
    from niwaki.methods import MagnitudePruning as MagnitudePruning
    from niwaki.methods import Overparam as Overparam
    from niwaki.methods import RandomScore as RandomScore
    from niwaki.methods import RepVGG as RepVGG
    from niwaki.methods import ReweightedL1 as ReweightedL1
    from niwaki.methods import StructuredPruning as StructuredPruning
    from niwaki.methods import Taylor as Taylor
    from niwaki.methods.prune import plan as plan
    from niwaki.methods.prune import prune as prune
    from niwaki.methods.prune import sensitivity as sensitivity
    from niwaki.methods.sparse import sparse_runtime as sparse_runtime
    from niwaki.models import MultiTaskNet as MultiTaskNet
    from niwaki.models import TaskNets as TaskNets
    from niwaki.models import from_timm as from_timm
    from niwaki.records import delta as delta
    from niwaki.settings import Budget as Budget
    from niwaki.surgery import Plan as Plan
    from niwaki.surgery import follow_ema as follow_ema
    from niwaki.surgery import materialise as materialise
    from niwaki.surgery import reestimate_batchnorm as reestimate_batchnorm
    from niwaki.tasks import Classification as Classification
    from niwaki.tasks import Depth as Depth
    from niwaki.tasks import Heatmap as Heatmap
    from niwaki.tasks import Regression as Regression
    from niwaki.tasks import Segmentation as Segmentation
    from niwaki.tasks import SurfaceNormals as SurfaceNormals
    from niwaki.tasks import Task as Task
    from niwaki.tasks import task_losses as task_losses
    from niwaki.tasks import tasks_from_libmtl as tasks_from_libmtl
    from niwaki.train import Training as Training
    from niwaki.train import compress as compress
    from niwaki.train import evaluate as evaluate
    from niwaki.train import fit as fit

_HOMES = {
    "niwaki.balance": (
        "DWA",
        "GLS",
        "RLW",
        "Equal",
        "MinMax",
        "Uncertainty",
        "as_balancer",
    ),
    "niwaki.contract": ("Example",),
    "niwaki.export": ("export",),
    "niwaki.files": (
        "load",
        "save",
    ),
    "niwaki.measure": ("measure",),
    "niwaki.methods": (
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
        "Overparam",
        "RandomScore",
        "RepVGG",
        "ReweightedL1",
        "StructuredPruning",
        "Taylor",
    ),
    "niwaki.methods.prune": (
        "plan",
        "prune",
        "sensitivity",
    ),
    "niwaki.methods.sparse": ("sparse_runtime",),
    "niwaki.models": (
        "MultiTaskNet",
        "TaskNets",
        "from_timm",
    ),
    "niwaki.records": ("delta",),
    "niwaki.settings": ("Budget",),
    "niwaki.surgery": (
        "Plan",
        "follow_ema",
        "materialise",
        "reestimate_batchnorm",
    ),
    "niwaki.tasks": (
        "Classification",
        "Depth",
        "Heatmap",
        "Regression",
        "Segmentation",
        "SurfaceNormals",
        "Task",
        "task_losses",
        "tasks_from_libmtl",
    ),
    "niwaki.train": (
        "Training",
        "compress",
        "evaluate",
        "fit",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 - the names are written once, in _HOMES


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"niwaki has no {name!r}; it has: {', '.join(sorted(_HOME))}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps `niwaki.measure` and `niwaki.export` the functions when the rooms of these names are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
