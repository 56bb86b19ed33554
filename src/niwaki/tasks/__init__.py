"""Tasks: what a network is asked, how wrong an answer is, how that is measured and drawn."""

from niwaki.tasks.classification import Classification
from niwaki.tasks.depth import Depth
from niwaki.tasks.evaluation import PROTOCOLS, Evaluation, Protocol
from niwaki.tasks.heatmap import Heatmap
from niwaki.tasks.libmtl import tasks_from_libmtl
from niwaki.tasks.losses import task_losses
from niwaki.tasks.normals import SurfaceNormals, decode_normals
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadySettings, build_tasks, ready_tasks
from niwaki.tasks.regression import Regression
from niwaki.tasks.segmentation import Segmentation
from niwaki.tasks.task import Task
from niwaki.tasks.torchvision_shim import mend_torchvision

__all__ = [
    "PROTOCOLS",
    "Classification",
    "Depth",
    "Evaluation",
    "Heatmap",
    "Protocol",
    "Reading",
    "ReadySettings",
    "Regression",
    "Segmentation",
    "SurfaceNormals",
    "Task",
    "build_tasks",
    "decode_normals",
    "mend_torchvision",
    "ready_tasks",
    "task_losses",
    "tasks_from_libmtl",
]
