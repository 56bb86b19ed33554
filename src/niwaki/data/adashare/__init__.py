"""AdaShare's layout: a JSON list of samples, each a row of paths."""

from niwaki.data.adashare.cityscapes import AdaShareCityscapesData
from niwaki.data.adashare.nyuv2 import NYUV2_CLASSES, AdaShareNYUv2Data
from niwaki.data.adashare.taskonomy import TASKONOMY_CLASSES, TaskonomyData

__all__ = ["NYUV2_CLASSES", "TASKONOMY_CLASSES", "AdaShareCityscapesData", "AdaShareNYUv2Data", "TaskonomyData"]
