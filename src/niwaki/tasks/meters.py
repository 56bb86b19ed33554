"""The one place that imports torchmetrics: after torchvision was mended, and never before."""

from niwaki.tasks.torchvision_shim import mend_torchvision

mend_torchvision()

from torchmetrics import MeanAbsoluteError, Metric, MetricCollection, SumMetric  # noqa: E402 - the shim must come first
from torchmetrics.classification import (  # noqa: E402 - the same
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)
from torchmetrics.utilities.data import dim_zero_cat  # noqa: E402 - the same

__all__ = [
    "MeanAbsoluteError",
    "Metric",
    "MetricCollection",
    "MulticlassAccuracy",
    "MulticlassConfusionMatrix",
    "MulticlassF1Score",
    "SumMetric",
    "dim_zero_cat",
]
