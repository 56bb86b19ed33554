"""The optional training loop on Lightning Fabric, and what is built on it: fit, evaluate, compress."""

from niwaki.train.bars import Bars
from niwaki.train.compress import Baseline, Result, compress
from niwaki.train.evaluate import evaluate
from niwaki.train.fit import Fitted, fit
from niwaki.train.memory import keep_freed_memory
from niwaki.train.progress import Progress, Silent
from niwaki.train.settings import Distillation, Training
from niwaki.train.stage import NamedStage, Stage

__all__ = [
    "Bars",
    "Baseline",
    "Distillation",
    "Fitted",
    "NamedStage",
    "Progress",
    "Result",
    "Silent",
    "Stage",
    "Training",
    "compress",
    "evaluate",
    "fit",
    "keep_freed_memory",
]
